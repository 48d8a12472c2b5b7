// promot::linear: x [..., I] times the transpose of a weight [O, I], plus a bias: aten::linear, and in fp32 on x86
// processors with AVX2 but not AVX-512 a kernel of its own, whose gradients are libtorch's products. It reads the weight
// as it lies in memory, and is faster than MKL, and than oneDNN with a weight laid out beforehand (docs/benchmarks.md).
// A row's bits do not depend on the rows beside it. Shapes: N rows of x.
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kRowsOfThread = 16;  // with fewer, MKL shares a gradient's product in its own way

#ifdef HAS_FMA_KERNELS

constexpr int64_t kOutputs = 4;  // that are computed together
constexpr int64_t kRowsAtOnce = 48;  // that stay in the cache

WITH_FMA __attribute__((always_inline)) inline float sumOfEight(__m256 x) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

/** R rows and C outputs: twelve sums, three rows and a weight are as many registers as there are. */
template <int R, int C>
WITH_FMA __attribute__((always_inline)) inline void tile(const float* x, const float* weight, float* y, int64_t inputs, int64_t outputs) {
  __m256 sums[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sums[r][c] = _mm256_setzero_ps();
  for (int64_t i = 0; i < inputs; i += kLanes) {
    __m256 a[R];
    for (int r = 0; r < R; ++r) a[r] = _mm256_loadu_ps(x + r * inputs + i);
    for (int c = 0; c < C; ++c) {
      const __m256 b = _mm256_loadu_ps(weight + c * inputs + i);
      for (int r = 0; r < R; ++r) sums[r][c] = _mm256_fmadd_ps(a[r], b, sums[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) y[r * outputs + c] = sumOfEight(sums[r][c]);
}

/** All rows, C outputs. The weights that come next are fetched meanwhile. */
template <int C>
WITH_FMA __attribute__((always_inline)) inline void strip(const float* x, const float* weight, float* y, int64_t rows, int64_t inputs, int64_t outputs) {
  const float* next = weight + C * inputs;
  const int64_t step = C * inputs / ((rows + 2) / 3);  // a tile
  int64_t r = 0;
  for (; r + 3 <= rows; r += 3) {
    for (int64_t i = 0; i < step; i += 16) __builtin_prefetch(next + i, 0, 2);
    next += step;
    tile<3, C>(x + r * inputs, weight, y + r * outputs, inputs, outputs);
  }
  if (rows - r == 2) tile<2, C>(x + r * inputs, weight, y + r * outputs, inputs, outputs);
  if (rows - r == 1) tile<1, C>(x + r * inputs, weight, y + r * outputs, inputs, outputs);
}

/** Outputs `from` to `to` of some rows. */
WITH_FMA void outputsOf(const float* x, const float* weight, float* y, int64_t rows, int64_t inputs, int64_t outputs, int64_t from, int64_t to) {
  int64_t o = from;
  for (; o + kOutputs <= to; o += kOutputs) strip<kOutputs>(x, weight + o * inputs, y + o, rows, inputs, outputs);
  for (; o < to; ++o) strip<1>(x, weight + o * inputs, y + o, rows, inputs, outputs);
}

at::Tensor ownProduct(const at::Tensor& given, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto x = given.contiguous();
  const int64_t inputs = weight.size(1), outputs = weight.size(0), rows = x.numel() / inputs;
  auto shape = x.sizes().vec();
  shape.back() = outputs;
  auto y = at::empty(shape, x.options());
  auto from = x.const_data_ptr<float>(), weights = weight.const_data_ptr<float>();
  auto to = y.mutable_data_ptr<float>();
  parallelFor((outputs + kOutputs - 1) / kOutputs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; row += kRowsAtOnce)
      outputsOf(from + row * inputs, weights, to + row * outputs, std::min(kRowsAtOnce, rows - row), inputs, outputs, begin * kOutputs,
              std::min(outputs, end * kOutputs));
  });
  return bias ? y.add_(*bias) : y;
}

#else

at::Tensor ownProduct(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) { return at::linear(x, weight, bias); }

#endif

/** a times b, the rows of a divided among the threads: MKL's own way to share them takes a little longer. */
at::Tensor sharedProduct(const at::Tensor& a, const at::Tensor& b) {
  const int64_t rows = a.size(0), threads = at::get_num_threads();
  if (rows < kRowsOfThread * threads) return a.mm(b);
  auto y = at::empty({rows, b.size(1)}, a.options());
  parallelFor(rows, (rows + threads - 1) / threads, [&](int64_t begin, int64_t end) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto to = y.narrow(0, begin, end - begin);
    at::mm_out(to, a.narrow(0, begin, end - begin), b);
  });
  return y;
}

struct OwnLinear : torch::autograd::Function<OwnLinear> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["hasBias"] = bias.has_value();
    return ownProduct(x, weight, bias);
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const bool hasBias = context->saved_data["hasBias"].toBool();
    const auto gradient = gradients[0].reshape({-1, weight.size(0)});
    return {context->needs_input_grad(0) ? sharedProduct(gradient, weight).view(x.sizes()) : at::Tensor(),
            context->needs_input_grad(1) ? sharedProduct(gradient.t(), x.reshape({-1, weight.size(1)})) : at::Tensor(),
            hasBias && context->needs_input_grad(2) ? gradient.sum(0) : at::Tensor()};
  }
};

bool isFloat(const at::Tensor& t) { return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat; }

/** Whether the kernel takes such a weight. */
bool takes(const at::Tensor& weight) {
  return isForFmaKernels() && isFloat(weight) && weight.dim() == 2 && weight.is_contiguous() && weight.numel() > 0 && weight.size(1) % kLanes == 0;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const bool fits = takes(weight) && isFloat(x) && x.dim() > 0 && x.size(-1) == weight.size(1) &&
                    (!bias || (isFloat(*bias) && bias->dim() == 1 && bias->size(0) == weight.size(0)));
  if (!fits) return at::linear(x, weight, bias);
  return at::GradMode::is_enabled() ? OwnLinear::apply(x, weight, bias) : ownProduct(x, weight, bias);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, linear));
  library.def("linear_takes(Tensor weight) -> bool", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, takes));
}
