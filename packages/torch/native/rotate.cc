// promot::rotate: rotary positions on a CPU in fp32, in one pass. The first W numbers of a head are turned in planes:
// number j with j + W / 2, or with its neighbour. The gradient is turned back in the same way, and nothing is kept for it
// but cosines and sines. Shapes: B rows, H heads, L places, D head width, W the part of it that turns.
#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kNumbersOfThread = 1 << 15;  // fewer take less time than to wake a thread

VECTORIZED void rotateHalves(const float* __restrict x, const float* __restrict cos, const float* __restrict sin, float* __restrict y, int64_t half,
                             float sign) {
  for (int64_t j = 0; j < half; ++j) {
    float a = x[j], b = x[j + half], s = sign * sin[j];
    y[j] = a * cos[j] - b * s;
    y[j + half] = b * cos[j] + a * s;
  }
}

VECTORIZED void rotatePairs(const float* __restrict x, const float* __restrict cos, const float* __restrict sin, float* __restrict y, int64_t half,
                            float sign) {
  for (int64_t j = 0; j < half; ++j) {
    float a = x[2 * j], b = x[2 * j + 1], s = sign * sin[2 * j];
    y[2 * j] = a * cos[2 * j] - b * s;
    y[2 * j + 1] = b * cos[2 * j] + a * s;
  }
}

/** x [B, H, L, D] turned, in x's own layout; cosines and sines [B or 1, 1, L, W], contiguous, the same at both of a plane. */
at::Tensor rotateAll(const at::Tensor& given, const at::Tensor& cos, const at::Tensor& sin, bool pairs, float sign) {
  auto x = given.stride(3) == 1 ? given : given.contiguous();
  auto y = at::empty_like(x);
  const int64_t heads = x.size(1), places = x.size(2), width = cos.size(3), rest = x.size(3) - width;
  const int64_t turns = cos.size(0) == 1 ? 0 : places * width;  // from one row's cosines to the next row's
  auto from = x.const_data_ptr<float>(), c = cos.const_data_ptr<float>(), s = sin.const_data_ptr<float>();
  auto to = y.mutable_data_ptr<float>();
  auto rotate = pairs ? rotatePairs : rotateHalves;
  parallelFor(x.size(0) * places, std::max<int64_t>(1, kNumbersOfThread / std::max<int64_t>(1, heads * x.size(3))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / places, place = i % places, turn = row * turns + place * width;
      for (int64_t head = 0; head < heads; ++head) {
        const float* in = from + row * x.stride(0) + head * x.stride(1) + place * x.stride(2);
        float* out = to + row * y.stride(0) + head * y.stride(1) + place * y.stride(2);
        rotate(in, c + turn, s + turn, out, width / 2, sign);
        std::copy_n(in + width, rest, out + width);
      }
    }
  });
  return y;
}

struct Rotate : torch::autograd::Function<Rotate> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool pairs) {
    auto c = cos.contiguous(), s = sin.contiguous();
    context->save_for_backward({c, s});
    context->saved_data["pairs"] = pairs;
    return rotateAll(x, c, s, pairs, 1);
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    auto saved = context->get_saved_variables();
    return {rotateAll(gradients[0], saved[0], saved[1], context->saved_data["pairs"].toBool(), -1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool pairs) {
  for (const auto& t : {x, cos, sin}) TORCH_CHECK(t.device().is_cpu() && t.scalar_type() == at::kFloat && t.dim() == 4, "takes float32 of four dimensions on the CPU");
  TORCH_CHECK(cos.sizes() == sin.sizes() && cos.size(1) == 1 && cos.size(2) == x.size(2) && (cos.size(0) == 1 || cos.size(0) == x.size(0)),
              "cosines and sines are [B or 1, 1, L, W]");
  TORCH_CHECK(cos.size(3) % 2 == 0 && cos.size(3) <= x.size(3), "W is even and no more than the head's width");
  TORCH_CHECK(!cos.requires_grad() && !sin.requires_grad(), "cosines and sines get no gradient");
  return Rotate::apply(x, cos, sin, pairs);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("rotate(Tensor x, Tensor cos, Tensor sin, bool pairs) -> Tensor", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, rotate));
}
