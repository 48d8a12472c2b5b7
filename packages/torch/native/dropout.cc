// promot::dropout: inverted dropout whose mask is a pure function of (seed, position). libtorch draws its masks with
// one serial generator (20 % of a training step on two cores) and keeps them for the backward pass. Here the mask is
// hashed from the position, in parallel, and hashed again in the backward pass: nothing is stored, and the result does
// not depend on the number of threads, nor on the device.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cstring>
#include <limits>

#include "dropout-mask.h"
#include "parallel.h"
#include "vectorized.h"

namespace {

/** bf16 to fp32, scaled, and back, rounded to nearest even (the values are finite or become NaN as they should). */
VECTORIZED void dropBFloat16(const uint16_t* in, uint16_t* out, int64_t n, uint32_t key, uint32_t threshold, float scale, uint32_t first) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits = static_cast<uint32_t>(in[i]) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    value *= scale;
    std::memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    rounded = value != value ? 0x7fc0U : rounded;
    out[i] = dropped::mix((first + static_cast<uint32_t>(i)) ^ key) < threshold ? 0 : static_cast<uint16_t>(rounded);
  }
}

/** mix, in place, of int32 numbers that stand for 32 bits. */
void mixAll(at::Tensor& x) {
  auto fold = [&](int64_t bits) { x.bitwise_xor_(x.bitwise_right_shift(bits).bitwise_and_((int64_t{1} << (32 - bits)) - 1)); };
  fold(16);
  x.mul_(0x7feb352d);
  fold(15);
  x.mul_(static_cast<int32_t>(0x846ca68bU));
  fold(16);
}

/** The same mask and scaling by libtorch's operators, for the devices and types that have no loop of their own here. */
at::Tensor maskedByOperators(const at::Tensor& x, double p, int64_t seed) {
  auto in = x.contiguous();
  auto out = in.mul(1.0 / (1.0 - p));
  auto flat = out.view(-1);
  // Comparison is signed: both sides are moved by 2^31.
  auto threshold = static_cast<int64_t>(p * 4294967296.0) - (int64_t{1} << 31);
  // In pieces, whose bits are small enough for a GPU's cache; none of them reaches over a multiple of 2^31.
  const int64_t piece = int64_t{1} << 22;
  for (int64_t at = 0; at < in.numel(); at += piece) {
    auto count = std::min(piece, in.numel() - at);
    auto bits = at::arange(count, x.options().dtype(at::kInt)).add_(static_cast<int32_t>(static_cast<uint32_t>(at)));
    bits.bitwise_xor_(static_cast<int32_t>(dropped::keyOf(seed, at)));
    mixAll(bits);
    bits.bitwise_xor_(std::numeric_limits<int32_t>::min());
    flat.narrow(0, at, count).masked_fill_(bits.lt(threshold), 0);
  }
  return out;
}

at::Tensor masked(const at::Tensor& x, double p, int64_t seed) {
  TORCH_CHECK(p >= 0 && p < 1, "dropout rate must be in [0, 1), got ", p);
  if (!x.device().is_cpu() || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16)) return maskedByOperators(x, p, seed);
  auto in = x.contiguous();
  auto out = at::empty_like(in);
  const dropped::Mask mask(p, seed);
  parallelFor(in.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
    if (in.scalar_type() == at::kFloat)
      return mask.drop(in.const_data_ptr<float>() + begin, out.mutable_data_ptr<float>() + begin, begin, end - begin);
    mask.each(begin, end, [&](int64_t at, int64_t count, uint32_t key) {
      dropBFloat16(reinterpret_cast<const uint16_t*>(in.const_data_ptr()) + at, reinterpret_cast<uint16_t*>(out.mutable_data_ptr()) + at, count, key,
                   mask.threshold, mask.scale, static_cast<uint32_t>(at));
    });
  });
  return out;
}

struct Dropout : torch::autograd::Function<Dropout> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, double p, int64_t seed) {
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    return masked(x, p, seed);
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    return {masked(gradients[0], context->saved_data["p"].toDouble(), context->saved_data["seed"].toInt()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("dropout(Tensor x, float p, int seed) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, [](const at::Tensor& x, double p, int64_t seed) { return Dropout::apply(x, p, seed); }));
}
