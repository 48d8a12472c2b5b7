#pragma once

#include <napi.h>

Napi::Value giveBack(const Napi::CallbackInfo& info);
Napi::Value standIn(const Napi::CallbackInfo& info);
