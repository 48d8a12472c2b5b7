// What one JavaScript environment (main thread or worker) holds: its live tensors by handle, its operators by index.
#pragma once

#define NAPI_CPP_EXCEPTIONS 1
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <napi.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "private.h"

/** An operator, and the check of its arguments where libtorch's is not enough. */
struct Operator {
  c10::OperatorHandle handle;
  PrivateCheck check;
};

struct Entry {
  at::Tensor tensor;
  int64_t reported;  // bytes told to V8 for this handle
};

struct State {
  std::unordered_map<int64_t, Entry> tensors;
  // Handles are never used twice, so that a stale one is recognised for certain.
  int64_t next = 1;
  std::vector<Operator> operators;
  std::unordered_map<std::string, size_t> operatorIndex;

  static State& of(Napi::Env env) { return *env.GetInstanceData<State>(); }

  /** Puts a tensor into the table; a handle is a BigInt, so that it can never be taken for a number. */
  Napi::Value put(Napi::Env env, at::Tensor tensor) {
    if (!tensor.defined()) return env.Null();
    // A storage that only this tensor holds was made just now: its bytes count. Views count nothing, nor do tensors
    // without memory (the meta device), which may be larger than V8 believes.
    int64_t bytes = 0;
    if (tensor.has_storage() && tensor.storage().use_count() == 1 && tensor.storage().data()) bytes = static_cast<int64_t>(tensor.storage().nbytes());
    if (bytes) Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
    int64_t handle = next++;
    tensors.emplace(handle, Entry{std::move(tensor), bytes});
    return Napi::BigInt::New(env, handle);
  }

  bool drop(Napi::Env env, int64_t handle) {
    auto found = tensors.find(handle);
    if (found == tensors.end()) return false;
    int64_t bytes = found->second.reported;
    tensors.erase(found);
    if (bytes) Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
    return true;
  }

  const at::Tensor& get(Napi::Value value) {
    if (!value.IsBigInt()) throw std::invalid_argument("expected a tensor");
    bool lossless;
    auto found = tensors.find(value.As<Napi::BigInt>().Int64Value(&lossless));
    if (found == tensors.end()) throw std::invalid_argument("the tensor was disposed (it left its scope)");
    return found->second.tensor;
  }
};

/** The operators' names for element types, as TypeScript spells them. */
c10::ScalarType scalarType(const std::string& name);
std::string scalarTypeName(c10::ScalarType type);
