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
  /** While the tensor's own memory is given back: has its numbers, in the layout of the processor's products. */
  at::Tensor standIn;
};

inline int64_t handleOf(Napi::Value value) {
  if (!value.IsBigInt()) throw std::invalid_argument("expected a tensor");
  bool lossless;
  return value.As<Napi::BigInt>().Int64Value(&lossless);
}

/** See giveBack (give-back.cc). */
void takeBack(Entry& entry);

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
    int64_t handle = next++;
    tensors.emplace(handle, Entry{std::move(tensor), 0, {}});
    return Napi::BigInt::New(env, handle);
  }

  /**
   * Tells V8 of a tensor's memory, which then frees what nobody holds any more the sooner. What a scope frees it need not
   * know: it would only look for garbage more often.
   */
  void report(Napi::Env env, int64_t handle) {
    auto found = tensors.find(handle);
    if (found == tensors.end()) return;
    auto& [tensor, reported, standIn] = found->second;
    // A storage that only this tensor holds counts. Views count nothing, nor do tensors without memory (the meta device),
    // which may be larger than V8 believes.
    if (reported || !tensor.has_storage() || tensor.storage().use_count() != 1 || !tensor.storage().data()) return;
    reported = static_cast<int64_t>(tensor.storage().nbytes());
    Napi::MemoryManagement::AdjustExternalMemory(env, reported);
  }

  bool drop(Napi::Env env, int64_t handle) {
    auto found = tensors.find(handle);
    if (found == tensors.end()) return false;
    int64_t bytes = found->second.reported;
    tensors.erase(found);
    if (bytes) Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
    return true;
  }

  Entry& entry(Napi::Value value) {
    auto found = tensors.find(handleOf(value));
    if (found == tensors.end()) throw std::invalid_argument("the tensor was disposed (it left its scope)");
    return found->second;
  }

  /** The one way to a tensor's numbers: memory that was given back is there again. */
  const at::Tensor& get(Napi::Value value) {
    Entry& found = entry(value);
    if (found.standIn.defined()) takeBack(found);
    return found.tensor;
  }

  /** For what is known without the numbers: shape, type, device, gradient. */
  const at::Tensor& outline(Napi::Value value) { return entry(value).tensor; }
};

/** The operators' names for element types, as TypeScript spells them. */
c10::ScalarType scalarType(const std::string& name);
std::string scalarTypeName(c10::ScalarType type);
