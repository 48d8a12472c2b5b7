// Checks of the arguments of libtorch's private operators: see private.cc.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

/** Throws std::invalid_argument where arguments, in the schema's order, do not fit together. */
using PrivateCheck = void (*)(const std::vector<c10::IValue>& stack);

/** The check of an operator by its full name; null where libtorch checks for itself. */
PrivateCheck privateCheckOf(const std::string& operatorName);
