// promot::linears: x [..., I] times the transpose of each weight [O, I], plus its bias: aten::linear, and in fp32 on x86
// processors with AVX2 but not AVX-512 kernels of its own, forward and backward. They are faster than MKL, and than oneDNN
// with a weight laid out beforehand (docs/benchmarks.md). A row's bits depend on whether it is one of few, but not on the
// rows beside it. All products of a call are one piece of work for the threads.
// Shapes: N rows of x.
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "adds-gradients.h"
#include "large-products.h"
#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kFewRows = 96;  // fewer do not pay for laying the weight out
constexpr int64_t kRowsOfPiece = 192;  // that a laid out weight serves, and so many more that all pieces have as many
constexpr int64_t kOutputsOfPiece = 256;  // the same for a weight whose gradient is computed
constexpr int64_t kProductsOfPiece = 1 << 21;  // at least, of few rows: work of some 0.07 ms

constexpr int64_t kOutputs = 4;  // of few rows that are computed together

#ifdef HAS_FMA_KERNELS

WITH_FMA __attribute__((always_inline)) inline float sumOfEight(__m256 x) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

/** The sum of eight numbers each of a, b, c and d, in the order of `sumOfEight`. */
WITH_FMA __attribute__((always_inline)) inline __m128 sumsOfEight(const __m256* x) {
  // [a0+a4 a1+a5 a2+a6 a3+a7 | b0+b4 ...]
  const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(x[0], x[1], 0x20), _mm256_permute2f128_ps(x[0], x[1], 0x31));
  const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(x[2], x[3], 0x20), _mm256_permute2f128_ps(x[2], x[3], 0x31));
  // Two sums of a, then of c, and beside them two of b and of d.
  const __m256 pairs = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  const __m128 ac = _mm256_castps256_ps128(pairs), bd = _mm256_extractf128_ps(pairs, 1);
  const __m128 first = _mm_unpacklo_ps(ac, bd), second = _mm_unpackhi_ps(ac, bd);  // [a b a b], [c d c d]
  return _mm_add_ps(_mm_movelh_ps(first, second), _mm_movehl_ps(second, first));
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
  for (int r = 0; r < R; ++r) {
    if constexpr (C == 4)
      _mm_storeu_ps(y + r * outputs, sumsOfEight(sums[r]));
    else
      for (int c = 0; c < C; ++c) y[r * outputs + c] = sumOfEight(sums[r][c]);
  }
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

/** Some outputs of few rows; the weight is read as it lies in memory. */
WITH_FMA void outputsOfFew(const float* x, const float* weight, float* y, int64_t rows, int64_t inputs, int64_t outputs, int64_t from, int64_t to) {
  int64_t o = from;
  for (; o + kOutputs <= to; o += kOutputs) strip<kOutputs>(x, weight + o * inputs, y + o, rows, inputs, outputs);
  for (; o < to; ++o) strip<1>(x, weight + o * inputs, y + o, rows, inputs, outputs);
}

#else

void outputsOfFew(const float*, const float*, float*, int64_t, int64_t, int64_t, int64_t, int64_t) {}

#endif

/** Parts of a call's products, for whichever thread is free; none writes where another does. */
using Work = std::vector<std::function<void()>>;

/** Calls `of(from, count)` for parts of n of about the same size, of `least` each or more. All but the last end after whole tiles. */
template <typename F>
void forParts(int64_t n, int64_t least, F of) {
  const int64_t parts = std::max<int64_t>(1, n / least);
  const auto end = [&](int64_t p) { return p == parts ? n : n * p / parts / large::kTile * large::kTile; };
  for (int64_t p = 0; p < parts; ++p) of(end(p), end(p + 1) - end(p));
}

/** Calls `of(row, rows, column, columns)` for pieces of a table [rows, columns] that `large::product` computes. */
template <typename F>
void forPieces(int64_t rows, int64_t columns, F of) {
  forParts(rows, kRowsOfPiece, [&](int64_t row, int64_t count) {
    for (int64_t column = 0; column < columns; column += large::kColumns) of(row, count, column, std::min(large::kColumns, columns - column));
  });
}

/** x [N, I] times the transpose of a weight [O, I]. */
void addProducts(Work& work, const float* x, const float* weight, float* y, int64_t rows, int64_t inputs, int64_t outputs) {
  if (rows < kFewRows) {
    const int64_t width = std::max(kOutputs, kProductsOfPiece / (rows * inputs) / kOutputs * kOutputs);
    for (int64_t from = 0; from < outputs; from += width)
      work.push_back([=] { outputsOfFew(x, weight, y, rows, inputs, outputs, from, std::min(outputs, from + width)); });
    return;
  }
  forPieces(rows, outputs, [&](int64_t row, int64_t count, int64_t from, int64_t columns) {
    work.push_back([=] {
      large::product(x + row * inputs, inputs, weight + from * inputs, inputs, true, y + row * outputs + from, outputs, count, columns, inputs, false);
    });
  });
}

void run(const Work& work) {
  shareOut(static_cast<int64_t>(work.size()), [&](int64_t i) { work[i](); });
}

std::vector<at::Tensor> ownForward(const at::Tensor& given, at::TensorList weights) {
  const auto x = given.contiguous();
  const int64_t inputs = weights[0].size(1), rows = x.numel() / inputs;
  std::vector<at::Tensor> outputs;
  Work work;
  for (const auto& weight : weights) {
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    outputs.push_back(at::empty(shape, x.options()));
    if (rows > 0)
      addProducts(work, x.const_data_ptr<float>(), weight.const_data_ptr<float>(), outputs.back().mutable_data_ptr<float>(), rows, inputs, weight.size(0));
  }
  run(work);
  return outputs;
}

/** What came of a weight before, where its gradient is added to that at once. */
at::Tensor earlierGradient(const at::Tensor& weight) {
  if (!addsGradients || !weight.is_leaf()) return {};
  const auto& earlier = weight.grad();
  const bool fits = earlier.defined() && !earlier.requires_grad() && earlier.layout() == at::kStrided && earlier.is_contiguous();
  return fits ? earlier : at::Tensor();
}

/** The gradient of x [N, I], the sum of the products of gradients [N, O] and weights. */
void addProductsForX(Work& work, const at::Tensor& ofX, const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& weights) {
  const int64_t inputs = ofX.size(1);
  forPieces(ofX.size(0), inputs, [&](int64_t row, int64_t rows, int64_t from, int64_t columns) {
    work.push_back([=, &gradients, &weights] {
      float* to = ofX.mutable_data_ptr<float>() + row * inputs + from;
      for (size_t i = 0; i < weights.size(); ++i) {
        const int64_t outputs = weights[i].size(0);
        large::product(gradients[i].const_data_ptr<float>() + row * outputs, outputs, weights[i].const_data_ptr<float>() + from, inputs, false, to, inputs, rows,
                       columns, outputs, i > 0);
      }
    });
  });
}

/** The gradient of a weight [O, I], or what it was and that. */
void addProductForWeight(Work& work, const at::Tensor& ofWeight, const at::Tensor& gradient, const at::Tensor& x, bool adds) {
  const int64_t outputs = ofWeight.size(0), inputs = ofWeight.size(1);
  forParts(outputs, kOutputsOfPiece, [&](int64_t from, int64_t count) {
    work.push_back([=] {
      large::productOfTurned(gradient.const_data_ptr<float>() + from, outputs, x.const_data_ptr<float>(), inputs,
                             ofWeight.mutable_data_ptr<float>() + from * inputs, inputs, count, inputs, x.size(0), adds);
    });
  });
}

struct OwnLinears : torch::autograd::Function<OwnLinears> {
  static torch::autograd::tensor_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x, at::TensorList weights) {
    std::vector<at::Tensor> saved{x};
    saved.insert(saved.end(), weights.begin(), weights.end());
    context->save_for_backward(std::move(saved));
    return ownForward(x, weights);
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const std::vector<at::Tensor> weights(saved.begin() + 1, saved.end());
    const auto flat = x.reshape({-1, x.size(-1)}).contiguous();
    torch::autograd::tensor_list results(saved.size());
    Work work;  // the longest parts first
    for (size_t i = 0; i < weights.size(); ++i) {
      gradients[i] = gradients[i].reshape({-1, weights[i].size(0)}).contiguous();
      if (!context->needs_input_grad(i + 1)) continue;
      // A weight that is there twice is not written to by both.
      const bool isRepeated = std::any_of(weights.begin(), weights.begin() + i, [&](const at::Tensor& one) { return one.is_same(weights[i]); });
      const auto earlier = isRepeated ? at::Tensor() : earlierGradient(weights[i]);
      if (!earlier.defined()) results[i + 1] = flat.size(0) > 0 ? at::empty_like(weights[i]) : at::zeros_like(weights[i]);
      addProductForWeight(work, earlier.defined() ? earlier : results[i + 1], gradients[i], flat, earlier.defined());
    }
    if (context->needs_input_grad(0)) {
      const auto ofX = at::empty(flat.sizes(), x.options());
      results[0] = ofX.view(x.sizes());
      addProductsForX(work, ofX, gradients, weights);
    }
    run(work);
    return results;
  }
};

bool isFloat(const at::Tensor& t) { return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat; }

/** Whether the kernel takes such a weight. */
bool takes(const at::Tensor& weight) {
  return isForFmaKernels() && isFloat(weight) && weight.dim() == 2 && weight.is_contiguous() && weight.numel() > 0 && weight.size(1) % kLanes == 0;
}

std::vector<at::Tensor> linears(const at::Tensor& x, at::TensorList weights, const c10::List<std::optional<at::Tensor>>& biases) {
  TORCH_CHECK_VALUE(!weights.empty() && biases.size() == weights.size(), "expected one weight or more, and as many biases");
  bool fits = isFloat(x) && x.dim() > 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::optional<at::Tensor> bias = biases.get(i);
    fits = fits && takes(weights[i]) && x.size(-1) == weights[i].size(1) &&
           (!bias || (isFloat(*bias) && bias->dim() == 1 && bias->size(0) == weights[i].size(0)));
  }
  std::vector<at::Tensor> outputs;
  if (!fits) {
    for (size_t i = 0; i < weights.size(); ++i) outputs.push_back(at::linear(x, weights[i], biases.get(i)));
    return outputs;
  }
  outputs = at::GradMode::is_enabled() ? OwnLinears::apply(x, weights) : ownForward(x, weights);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (const std::optional<at::Tensor> bias = biases.get(i)) outputs[i] = outputs[i].add_(*bias);
  return outputs;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("linears(Tensor x, Tensor[] weights, Tensor?[] biases) -> Tensor[]", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, linears));
  library.def("linear_takes(Tensor weight) -> bool", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, takes));
}
