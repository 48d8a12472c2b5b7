// The N-API module: tensors in and out, autograd, threads and seeds. Operators go through dispatch.cc.
// Context-aware: every environment has its own State, so worker threads can load it too.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>
#ifdef __GLIBC__
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>

#include "adds-gradients.h"
#include "dispatch.h"
#include "distributed.h"
#include "give-back.h"
#include "profile.h"
#include "state.h"

namespace {

std::vector<int64_t> shapeOf(Napi::Value value) {
  if (!value.IsArray()) throw std::invalid_argument("expected a shape");
  auto array = value.As<Napi::Array>();
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    double side = array.Get(i).As<Napi::Number>().DoubleValue();
    if (!(side >= 0 && side < 9007199254740992.0)) throw std::invalid_argument("a shape holds whole numbers from 0 up");
    shape.push_back(static_cast<int64_t>(side));
  }
  return shape;
}

std::vector<at::Tensor> tensorsOf(State& state, Napi::Value value) {
  if (!value.IsArray()) throw std::invalid_argument("expected an array of tensors");
  auto array = value.As<Napi::Array>();
  std::vector<at::Tensor> tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) tensors.push_back(state.get(array.Get(i)));
  return tensors;
}

/** fromData(typed array, dtype, shape): a new tensor with a copy of the elements. */
Napi::Value fromData(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray()) throw std::invalid_argument("expected a typed array");
  auto data = info[0].As<Napi::TypedArray>();
  auto tensor = at::empty(shapeOf(info[2]), scalarType(info[1].As<Napi::String>()));
  if (static_cast<size_t>(tensor.nbytes()) != data.ByteLength())
    throw std::invalid_argument("the array has " + std::to_string(data.ByteLength()) + " bytes, the shape needs " + std::to_string(tensor.nbytes()));
  if (data.ByteLength())
    std::memcpy(tensor.data_ptr(), static_cast<uint8_t*>(data.ArrayBuffer().Data()) + data.ByteOffset(), data.ByteLength());
  return State::of(info.Env()).put(info.Env(), tensor);
}

/** toData(tensor): an ArrayBuffer with a copy of the elements in row-major order. */
Napi::Value toData(const Napi::CallbackInfo& info) {
  auto tensor = State::of(info.Env()).get(info[0]).detach().to(c10::kCPU).contiguous();
  auto buffer = Napi::ArrayBuffer::New(info.Env(), tensor.nbytes());
  if (tensor.nbytes()) std::memcpy(buffer.Data(), tensor.data_ptr(), tensor.nbytes());
  return buffer;
}

Napi::Value shape(const Napi::CallbackInfo& info) {
  const auto& tensor = State::of(info.Env()).outline(info[0]);
  auto array = Napi::Array::New(info.Env(), tensor.dim());
  for (int64_t i = 0; i < tensor.dim(); ++i) array.Set(static_cast<uint32_t>(i), Napi::Number::New(info.Env(), static_cast<double>(tensor.size(i))));
  return array;
}

Napi::Value dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), scalarTypeName(State::of(info.Env()).outline(info[0]).scalar_type()));
}

Napi::Value device(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), State::of(info.Env()).outline(info[0]).device().str());
}

/** alias(tensor): a second handle to the same tensor, which outlives the first. */
Napi::Value alias(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  at::Tensor tensor = state.get(info[0]);
  return state.put(info.Env(), std::move(tensor));
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), State::of(info.Env()).drop(info.Env(), handleOf(info[0])));
}

/** report(tensor): no scope frees it, so V8 is to know of its memory. */
Napi::Value report(const Napi::CallbackInfo& info) {
  State::of(info.Env()).report(info.Env(), handleOf(info[0]));
  return info.Env().Undefined();
}

/** newestTensor(): the handle that was given out last. */
Napi::Value newestTensor(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), State::of(info.Env()).next - 1);
}

/** liveTensors(after): how many handles given out after that one are in use. */
Napi::Value liveTensors(const Napi::CallbackInfo& info) {
  const int64_t after = handleOf(info[0]);
  double live = 0;
  for (const auto& [handle, entry] : State::of(info.Env()).tensors) live += handle > after;
  return Napi::Number::New(info.Env(), live);
}

Napi::Value requiresGrad(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), State::of(info.Env()).outline(info[0]).requires_grad());
}

Napi::Value setRequiresGrad(const Napi::CallbackInfo& info) {
  State::of(info.Env()).outline(info[0]).set_requires_grad(info[1].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

/** gradOf(tensor): its accumulated gradient, or null. */
Napi::Value gradOf(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  return state.put(info.Env(), state.outline(info[0]).grad());
}

Napi::Value clearGrad(const Napi::CallbackInfo& info) {
  State::of(info.Env()).outline(info[0]).mutable_grad().reset();
  return info.Env().Undefined();
}

/** backward(tensors, gradients | null, retainGraph) */
Napi::Value backward(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  auto tensors = tensorsOf(state, info[0]);
  auto gradients = info[1].IsArray() ? tensorsOf(state, info[1]) : std::vector<at::Tensor>(tensors.size());
  AddsGradientsGuard guard;
  torch::autograd::backward(tensors, gradients, info[2].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

/**
 * grad(outputs, inputs, gradients | null, retainGraph): gradients of the inputs, null for one that has no part in it.
 */
Napi::Value grad(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  auto outputs = tensorsOf(state, info[0]);
  auto inputs = tensorsOf(state, info[1]);
  auto gradients = info[2].IsArray() ? tensorsOf(state, info[2]) : std::vector<at::Tensor>(outputs.size());
  auto results = torch::autograd::grad(outputs, inputs, gradients, info[3].As<Napi::Boolean>().Value(), false, true);
  auto array = Napi::Array::New(info.Env(), results.size());
  for (size_t i = 0; i < results.size(); ++i) array.Set(static_cast<uint32_t>(i), state.put(info.Env(), results[i]));
  return array;
}

/** setGradEnabled(on): the setting before. Per thread, as in PyTorch. */
Napi::Value setGradEnabled(const Napi::CallbackInfo& info) {
  bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(info[0].As<Napi::Boolean>().Value());
  return Napi::Boolean::New(info.Env(), before);
}

Napi::Value threads(const Napi::CallbackInfo& info) {
  if (info[0].IsNumber()) at::set_num_threads(info[0].As<Napi::Number>().Int32Value());
  return Napi::Number::New(info.Env(), at::get_num_threads());
}

Napi::Value trimMemory(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return info.Env().Undefined();
}

Napi::Value build(const Napi::CallbackInfo& info) {
  auto result = Napi::Object::New(info.Env());
  result.Set("version", TORCH_VERSION);
  result.Set("cpuCapability", at::get_cpu_capability());
  result.Set("cuda", at::globalContext().hasCUDA());
  return result;
}

// Activations are tens of megabytes and come and go every step. glibc would map and unmap each, and the kernel would
// clear every page anew; kept in the heap they are reused.
Napi::Value keepFreedMemory(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
#endif
  return info.Env().Undefined();
}

/**
 * takeMemory(bytes): the system gives so much memory to the heap now, at most 1 GB, and clears it, on a thread of its
 * own. Else it would do so page by page, when tensors are first written. Nothing happens before Linux 5.14.
 */
Napi::Value takeMemory(const Napi::CallbackInfo& info) {
#if defined(__GLIBC__) && defined(__linux__)
  // More is no part of the heap (M_MMAP_THRESHOLD), and would be given back at once.
  const size_t bytes = static_cast<size_t>(std::clamp(info[0].As<Napi::Number>().DoubleValue(), 0.0, 1e9));
  void* place = malloc(bytes);
  if (!place) return info.Env().Undefined();
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  char* begin = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(place) + page - 1) / page * page);
  char* end = static_cast<char*>(place) + bytes;
  free(place);
  // Leaves the pages' content as it is, also where they are in use again or belong to somebody else.
  auto populate = [=] {
    constexpr int populateWrite = 23;  // MADV_POPULATE_WRITE
    constexpr ptrdiff_t atOnce = 1 << 20;  // changes of the process's memory wait meanwhile
    for (char* at = begin; end - at >= static_cast<ptrdiff_t>(page); at += atOnce)
      if (madvise(at, static_cast<size_t>(std::min(atOnce, end - at)), populateWrite) != 0) return;
  };
  try {
    std::thread(populate).detach();
  } catch (const std::system_error&) {  // Then it comes page by page.
  }
#endif
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State());
  auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("keepFreedMemory", guarded<keepFreedMemory>);
  add("takeMemory", guarded<takeMemory>);
  add("findOperator", guarded<findOperator>);
  add("schemaOf", guarded<schemaOf>);
  add("callOperator", guarded<callOperator>);
  add("fromData", guarded<fromData>);
  add("toData", guarded<toData>);
  add("shape", guarded<shape>);
  add("dtype", guarded<dtype>);
  add("device", guarded<device>);
  add("alias", guarded<alias>);
  add("dispose", guarded<dispose>);
  add("report", guarded<report>);
  add("giveBack", guarded<giveBack>);
  add("standIn", guarded<standIn>);
  add("newestTensor", guarded<newestTensor>);
  add("liveTensors", guarded<liveTensors>);
  add("requiresGrad", guarded<requiresGrad>);
  add("setRequiresGrad", guarded<setRequiresGrad>);
  add("gradOf", guarded<gradOf>);
  add("clearGrad", guarded<clearGrad>);
  add("backward", guarded<backward>);
  add("grad", guarded<grad>);
  add("setGradEnabled", guarded<setGradEnabled>);
  add("threads", guarded<threads>);
  add("trimMemory", guarded<trimMemory>);
  add("startProfile", guarded<startProfile>);
  add("stopProfile", guarded<stopProfile>);
  add("enterModule", guarded<enterModule>);
  add("leaveModule", guarded<leaveModule>);
  add("build", guarded<build>);
  addDistributed(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(promot_torch, init)
