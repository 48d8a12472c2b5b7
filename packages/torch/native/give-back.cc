// The memory of a weight is given back while a packed copy stands in for it. State::get, the one way from JavaScript to
// a tensor's numbers, makes it anew when somebody asks for them.
#include "give-back.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <cstring>

#include "state.h"

namespace {

at::Tensor plain(const at::Tensor& packed) {
  c10::NoGradGuard none;
  return packed.to_dense().contiguous();
}

bool hasSameBytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

}  // namespace

void takeBack(Entry& entry) {
  entry.tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(plain(entry.standIn).storage());
  entry.standIn.reset();
}

/**
 * giveBack(tensor, packed): frees the tensor's memory until somebody asks for its numbers, and returns whether it could.
 * It cannot where anything but the tensor's handle leads to that memory (another handle, a view, a graph), and where
 * `packed` does not have the same numbers, bit for bit.
 */
Napi::Value giveBack(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  if (state.entry(info[0]).standIn.defined()) return Napi::Boolean::New(info.Env(), true);
  const at::Tensor packed = state.get(info[1]);
  const at::Tensor& own = state.get(info[0]);
  const bool isAlone = own.layout() == at::kStrided && own.device().is_cpu() && own.use_count() == 1 && own.storage().use_count() == 1 &&
                       own.is_contiguous() && own.storage_offset() == 0 && own.numel() > 0;
  if (!isAlone || !packed.is_mkldnn() || !hasSameBytes(own, plain(packed))) return Napi::Boolean::New(info.Env(), false);
  own.unsafeGetTensorImpl()->set_storage_keep_dtype(c10::Storage(c10::Storage::use_byte_size_t(), 0, c10::DataPtr(nullptr, own.device())));
  state.entry(info[0]).standIn = packed;
  return Napi::Boolean::New(info.Env(), true);
}

/** standIn(tensor): the packed copy that stands in for the tensor's memory, or null where its memory is there. */
Napi::Value standIn(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  return state.put(info.Env(), state.entry(info[0]).standIn);
}
