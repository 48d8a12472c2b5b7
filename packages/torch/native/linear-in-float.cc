// promot::linear_in_float: x W^T + bias of bfloat16 numbers for processors that do not multiply such numbers by themselves,
// where libtorch's own product takes about ten times as long as one of float32 numbers. Products and sums are made in
// float32, and the result is rounded once. A part of the weight at a time is made float32, so that little memory is taken.
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

namespace linear_in_float {

/** Numbers of the weight that are float32 at a time: 2 MB, which stay in the processor's cache. */
constexpr int64_t numbersOfPart = 1 << 19;

/** Calls `of(first row, rows)` for parts of a weight [O, I]. */
template <typename F>
void forParts(const at::Tensor& weight, F of) {
  const int64_t rows = weight.size(0);
  const int64_t most = std::max<int64_t>(1, numbersOfPart / std::max<int64_t>(1, weight.size(1)));
  for (int64_t begin = 0; begin < rows; begin += most) of(begin, std::min(most, rows - begin));
}

struct LinearInFloat : torch::autograd::Function<LinearInFloat> {
  /** x [N, I], weight [O, I], bias [O] -> [N, O] */
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["hasBias"] = bias.has_value();
    const at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    const at::Tensor floats = x.to(at::kFloat);
    forParts(weight, [&](int64_t begin, int64_t rows) {
      const at::Tensor part = weight.narrow(0, begin, rows).to(at::kFloat).t();
      y.narrow(1, begin, rows).copy_(bias ? at::addmm(bias->narrow(0, begin, rows).to(at::kFloat), floats, part) : at::mm(floats, part));
    });
    return y;
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gradient = gradients[0];
    const bool ofX = context->needs_input_grad(0), ofWeight = context->needs_input_grad(1);
    const bool ofBias = context->saved_data["hasBias"].toBool() && context->needs_input_grad(2);
    const at::Tensor floats = ofWeight ? x.to(at::kFloat) : at::Tensor();
    const at::Tensor xGradient = ofX ? at::zeros(x.sizes(), x.options().dtype(at::kFloat)) : at::Tensor();
    const at::Tensor weightGradient = ofWeight ? at::empty(weight.sizes(), weight.options()) : at::Tensor();
    forParts(weight, [&](int64_t begin, int64_t rows) {
      const at::Tensor own = gradient.narrow(1, begin, rows).to(at::kFloat, false, true, at::MemoryFormat::Contiguous);
      if (ofX) xGradient.addmm_(own, weight.narrow(0, begin, rows).to(at::kFloat));
      if (ofWeight) weightGradient.narrow(0, begin, rows).copy_(at::mm(own.t(), floats));
    });
    return {ofX ? xGradient.to(x.scalar_type()) : at::Tensor(), weightGradient,
            ofBias ? gradient.sum(0, false, at::kFloat).to(x.scalar_type()) : at::Tensor()};
  }
};

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto fits = [&](const at::Tensor& t, int64_t dimensions) {
    return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kBFloat16 && t.dim() == dimensions;
  };
  TORCH_CHECK(x.dim() > 0 && fits(x, x.dim()) && fits(weight, 2) && (!bias || fits(*bias, 1)), "takes bfloat16 on the CPU");
  TORCH_CHECK(x.size(-1) == weight.size(1) && (!bias || bias->size(0) == weight.size(0)),
              "the weight has one column for each place of x's last dimension, and the bias one number for each row");
  auto sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  int64_t count = 1;
  for (size_t i = 0; i + 1 < sizes.size(); i++) count *= sizes[i];
  return LinearInFloat::apply(x.reshape({count, x.size(-1)}), weight, bias).view(sizes);
}

}  // namespace linear_in_float

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("linear_in_float(Tensor x, Tensor weight, Tensor? bias) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, linear_in_float::linear));
}
