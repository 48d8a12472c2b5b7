// promot::cross_entropy: the loss of each row of logits [N, V], with smoothing and z-loss, and its gradient in one
// table:
//   loss = log Z - confidence * logit[target] - other * (sum of the other logits) + z * (log Z)^2.
// By libtorch's operators the backward pass makes four tables of [N, V]. Works on any device, in fp32 whatever the
// logits are, a few rows at a time, which a processor's cache holds.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

namespace {

constexpr int64_t kNumbers = 1 << 18;  // of a piece

template <typename F>
void overPieces(const at::Tensor& logits, F work) {
  const int64_t rows = logits.size(0), height = std::max<int64_t>(1, kNumbers / std::max<int64_t>(1, logits.size(1)));
  for (int64_t at = 0; at < rows; at += height) work(at, std::min(height, rows - at));
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits, const at::Tensor& targets, double confidence,
                            double other, double z) {
    auto logZ = at::empty({logits.size(0)}, logits.options().dtype(at::kFloat));
    auto losses = at::empty_like(logZ);
    overPieces(logits, [&](int64_t at, int64_t count) {
      auto piece = logits.narrow(0, at, count).to(at::kFloat);
      auto top = piece.amax(1, true);
      auto log = (piece - top).exp_().sum(1).log_().add_(top.squeeze(1));
      auto target = piece.gather(1, targets.narrow(0, at, count).unsqueeze(1)).squeeze(1);
      auto loss = log - target * confidence;
      if (other != 0) loss.sub_(piece.sum(1).sub_(target), other);
      if (z != 0) loss.add_(log.square(), z);
      logZ.narrow(0, at, count).copy_(log);
      losses.narrow(0, at, count).copy_(loss);
    });
    context->save_for_backward({logits, targets, logZ});
    context->saved_data["confidence"] = confidence;
    context->saved_data["other"] = other;
    context->saved_data["z"] = z;
    return losses;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    auto saved = context->get_saved_variables();
    const auto &logits = saved[0], &targets = saved[1], &logZ = saved[2];
    double confidence = context->saved_data["confidence"].toDouble(), other = context->saved_data["other"].toDouble();
    double z = context->saved_data["z"].toDouble();
    auto table = at::empty_like(logits);
    overPieces(logits, [&](int64_t at, int64_t count) {
      auto log = logZ.narrow(0, at, count).unsqueeze(1), g = gradients[0].narrow(0, at, count).to(at::kFloat).unsqueeze(1);
      // p * (1 + 2 z log Z) - other, and at the target other - confidence more; all times the loss's gradient.
      auto piece = (logits.narrow(0, at, count).to(at::kFloat) - log).exp_().mul_((log * (2 * z) + 1) * g);
      if (other != 0) piece.sub_(g * other);
      piece.scatter_add_(1, targets.narrow(0, at, count).unsqueeze(1), g * (other - confidence));
      table.narrow(0, at, count).copy_(piece);
    });
    return {table, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("cross_entropy(Tensor logits, Tensor targets, float confidence, float other, float z) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd,
                              [](const at::Tensor& logits, const at::Tensor& targets, double confidence, double other, double z) {
                                TORCH_CHECK(logits.dim() == 2 && targets.dim() == 1 && targets.size(0) == logits.size(0),
                                            "takes logits [N, V] and targets [N]");
                                return CrossEntropy::apply(logits, targets, confidence, other, z);
                              }));
}
