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

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("frozen_linear(Tensor x, Tensor packed, Tensor packed_transposed, Tensor? bias) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd,
                              [](const at::Tensor& x, const at::Tensor& packed, const at::Tensor& transposed, const std::optional<at::Tensor>& bias) {
                                return FrozenLinear::apply(x, packed, transposed, bias);
                              }));
}
