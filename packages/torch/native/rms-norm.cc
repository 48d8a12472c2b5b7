// promot::rms_norm: x / sqrt(mean of x^2 over the last dimension + epsilon) * weight on a CPU, forward and backward in
// one pass each, in fp32 or bf16 (computed in fp32). Kept for the backward pass: x, the weight and one number a row.
// With `one_plus` the factor is 1 + weight, applied before rounding to bf16 (Gemma); else the normed x is rounded first
// (T5, Llama).
#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kRows = 32;  // that are summed together: sums do not depend on the number of threads

/** y = (x * inverse) * factor of one row, and the inverse of its root mean square. */
VECTORIZED float normRow(const float* __restrict x, const float* __restrict factor, float* __restrict y, int64_t n, float epsilon) {
  Lanes squares{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) squares += lanes(x + i) * lanes(x + i);
  float sum = sumOf(squares);
  for (; i < n; ++i) sum += x[i] * x[i];
  float inverse = 1 / std::sqrt(sum / static_cast<float>(n) + epsilon);
  for (i = 0; i < n; ++i) y[i] = (x[i] * inverse) * factor[i];
  return inverse;
}

/**
 * The gradient of one row, d = inverse * (g * factor - normed * mean(g * factor * normed)); adds g * normed to
 * `ofFactor`.
 */
VECTORIZED void backRow(const float* __restrict g, const float* __restrict x, const float* __restrict factor, float* __restrict d,
                        float* __restrict ofFactor, int64_t n, float inverse) {
  Lanes products{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes product = lanes(g + i) * lanes(x + i);
    products += product * lanes(factor + i);
    lanes(ofFactor + i) += product * inverse;
  }
  float sum = sumOf(products);
  for (; i < n; ++i) {
    sum += g[i] * x[i] * factor[i];
    ofFactor[i] += g[i] * x[i] * inverse;
  }
  float share = sum * inverse * inverse / static_cast<float>(n);
  for (i = 0; i < n; ++i) d[i] = inverse * (g[i] * factor[i] - x[i] * share);
}

/** Rows of a tensor as fp32: its own, or `buffer` filled from bf16. */
const float* rowOf(const at::Tensor& x, int64_t at, int64_t n, float* buffer) {
  if (x.scalar_type() == at::kFloat) return x.const_data_ptr<float>() + at;
  widen(x.const_data_ptr<at::BFloat16>() + at, buffer, n);
  return buffer;
}

/** weight, or 1 + weight, in fp32. */
at::Tensor factorOf(const at::Tensor& weight, bool onePlus) {
  auto factor = weight.detach().to(at::kFloat).contiguous();
  return onePlus ? factor.add(1) : factor;
}

std::tuple<at::Tensor, at::Tensor> normForward(const at::Tensor& x, const at::Tensor& weight, double epsilon, bool onePlus) {
  const int64_t n = x.size(-1), rows = n ? x.numel() / n : 0;
  auto y = at::empty_like(x);
  auto inverses = at::empty({rows}, x.options().dtype(at::kFloat));
  auto factor = factorOf(weight, onePlus);
  const float* f = factor.const_data_ptr<float>();
  float* inverse = inverses.mutable_data_ptr<float>();
  const bool bf16 = x.scalar_type() == at::kBFloat16;
  parallelFor(rows, kRows, [&](int64_t begin, int64_t end) {
    std::vector<float> in(bf16 ? n : 0), out(bf16 ? n : 0), ones(bf16 && !onePlus ? n : 0, 1.0f);
    for (int64_t row = begin; row < end; ++row) {
      const float* from = rowOf(x, row * n, n, in.data());
      if (!bf16) {
        inverse[row] = normRow(from, f, y.mutable_data_ptr<float>() + row * n, n, static_cast<float>(epsilon));
        continue;
      }
      auto to = y.mutable_data_ptr<at::BFloat16>() + row * n;
      inverse[row] = normRow(from, onePlus ? f : ones.data(), out.data(), n, static_cast<float>(epsilon));
      narrow(out.data(), to, n);
      if (onePlus) continue;
      widen(to, out.data(), n);
      for (int64_t i = 0; i < n; ++i) out[i] *= f[i];
      narrow(out.data(), to, n);
    }
  });
  return {y, inverses};
}

/** Gradients of x and, where it is wanted, of the weight. */
std::tuple<at::Tensor, at::Tensor> normBackward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverses,
                                                bool onePlus, bool ofWeight) {
  const int64_t n = x.size(-1), rows = inverses.numel(), pieces = (rows + kRows - 1) / kRows;
  auto g = gradient.contiguous();
  auto d = at::empty_like(x);
  auto factor = factorOf(weight, onePlus);
  auto sums = at::zeros({ofWeight ? pieces : 1, n}, x.options().dtype(at::kFloat));
  float* ofFactor = sums.mutable_data_ptr<float>();
  const bool bf16 = x.scalar_type() == at::kBFloat16;
  parallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> in(bf16 ? n : 0), up(bf16 ? n : 0), out(bf16 ? n : 0), unused(ofWeight ? 0 : n);
    for (int64_t row = begin * kRows; row < std::min(rows, end * kRows); ++row) {
      float* to = bf16 ? out.data() : d.mutable_data_ptr<float>() + row * n;
      backRow(rowOf(g, row * n, n, up.data()), rowOf(x, row * n, n, in.data()), factor.const_data_ptr<float>(), to,
              ofWeight ? ofFactor + row / kRows * n : unused.data(), n, inverses.const_data_ptr<float>()[row]);
      if (bf16) narrow(to, d.mutable_data_ptr<at::BFloat16>() + row * n, n);
    }
  });
  return {d, ofWeight ? sums.sum(0).to(weight.scalar_type()) : at::Tensor()};
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double epsilon, bool onePlus) {
    auto rows = x.contiguous();
    auto [y, inverses] = normForward(rows, weight, epsilon, onePlus);
    context->save_for_backward({rows, weight, inverses});
    context->saved_data["onePlus"] = onePlus;
    context->saved_data["ofWeight"] = weight.requires_grad();
    return y;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    auto saved = context->get_saved_variables();
    auto [d, ofWeight] = normBackward(gradients[0], saved[0], saved[1], saved[2], context->saved_data["onePlus"].toBool(),
                                      context->saved_data["ofWeight"].toBool());
    return {d, ofWeight, at::Tensor(), at::Tensor()};
  }
};

at::Tensor rmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, bool onePlus) {
  TORCH_CHECK(x.device().is_cpu() && weight.device().is_cpu(), "works on the CPU");
  TORCH_CHECK((x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && weight.scalar_type() == x.scalar_type(),
              "takes float32 or bfloat16, and a weight of the same type");
  TORCH_CHECK(x.dim() > 0 && weight.dim() == 1 && weight.size(0) == x.size(-1), "the weight has one number for each place of the last dimension");
  return RmsNorm::apply(x, weight, epsilon, onePlus);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float epsilon, bool one_plus) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, rmsNorm));
}
