// promot::frozen_linear: x times a weight that is not trained, laid out beforehand for oneDNN, with a gradient for x.
// libtorch's own product of packed weights (mkldnn::_linear_pointwise) has none; here it is a product with the
// transposed weight, packed as well.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

namespace {

at::Tensor product(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias) {
  static const auto linear = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "");
  std::vector<c10::IValue> stack{x, packed, bias, "none", c10::List<std::optional<at::Scalar>>(), ""};
  linear.callBoxed(&stack);
  return stack[0].toTensor();
}

struct FrozenLinear : torch::autograd::Function<FrozenLinear> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& packed, const at::Tensor& transposed,
                            const std::optional<at::Tensor>& bias) {
    context->saved_data["transposed"] = transposed;
    return product(x, packed, bias);
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    return {product(gradients[0].contiguous(), context->saved_data["transposed"].toTensor(), std::nullopt), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/** libtorch's product trusts its arguments, and reads beyond the ends of those that do not fit. */
void check(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& transposed, const std::optional<at::Tensor>& bias) {
  auto isLike = [&](const at::Tensor& other) { return other.device().is_cpu() && other.scalar_type() == x.scalar_type(); };
  TORCH_CHECK(x.device().is_cpu() && x.layout() == at::kStrided && x.dim() > 0 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "takes float32 or bfloat16 on the CPU");
  for (const auto& weight : {packed, transposed})
    TORCH_CHECK(weight.is_mkldnn() && weight.dim() == 2 && isLike(weight), "takes packed weights of x's type");
  TORCH_CHECK(packed.size(1) == x.size(-1) && transposed.size(0) == packed.size(1) && transposed.size(1) == packed.size(0),
              "the packed weights have one column for each place of x's last dimension, and the other is the transpose");
  TORCH_CHECK(!bias || (bias->layout() == at::kStrided && bias->dim() == 1 && bias->size(0) == packed.size(0) && isLike(*bias)),
              "the bias has one number for each row of the weight, in x's type");
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("frozen_linear(Tensor x, Tensor packed, Tensor packed_transposed, Tensor? bias) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd,
                              [](const at::Tensor& x, const at::Tensor& packed, const at::Tensor& transposed, const std::optional<at::Tensor>& bias) {
                                check(x, packed, transposed, bias);
                                return FrozenLinear::apply(x, packed, transposed, bias);
                              }));
}
