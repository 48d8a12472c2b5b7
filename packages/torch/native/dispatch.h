// Boxed dispatch: see dispatch.cc.
#pragma once

#include <napi.h>

#include <exception>
#include <string>

/** findOperator("aten::add.Tensor"): a number that stands for it in this environment. */
Napi::Value findOperator(const Napi::CallbackInfo& info);
/** schemaOf(operator): its schema as libtorch prints it. */
Napi::Value schemaOf(const Napi::CallbackInfo& info);
/** callOperator(operator, ...arguments in the schema's order; undefined takes the default). */
Napi::Value callOperator(const Napi::CallbackInfo& info);
/** The first line of an exception's message, without libtorch's backtrace. */
std::string messageOf(const std::exception& error);

/** Every entry point: a C++ exception becomes a JavaScript Error that names the function. */
template <Napi::Value (*F)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return F(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), messageOf(error));
  }
}
