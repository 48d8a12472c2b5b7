// promot::gate: act(gate) * up on a CPU, forward and backward in one pass each, in fp32 or bf16 (computed in fp32, and
// rounded where the plain formula rounds). Both activations are x * sigmoid(x * (a + b * x^2)): a = 1, b = 0 is silu,
// the other pair is gelu's approximation by tanh. Kept for the backward pass: the two inputs, and not act(gate).
#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kChunk = 1024;  // numbers that are widened at once

struct Curve {
  float a, b;
};

Curve curveOf(const std::string& activation) {
  if (activation == "silu") return {1, 0};
  TORCH_CHECK(activation == "gelu-tanh", "the activation is silu or gelu-tanh");
  constexpr float twice = 1.5957691216057308f;  // 2 * sqrt(2 / pi)
  return {twice, twice * 0.044715f};
}

/** y = x * sigmoid and `slope`, its derivative, of eight numbers. */
__attribute__((always_inline)) inline void curveAt(const Lanes& x, Curve curve, Lanes& y, Lanes& slope) {
  // Beyond 100 the sigmoid is 0 or 1 anyway, and no square overflows.
  Lanes near = x > 100.0f ? Lanes{} + 100.0f : x;
  near = near < -100.0f ? Lanes{} - 100.0f : near;
  Lanes bent = near * near * curve.b, sigmoid = near * (bent + curve.a);
  expOfMinus(sigmoid);
  sigmoid = 1.0f / (sigmoid + 1.0f);
  y = x * sigmoid;
  slope = sigmoid + y * (1.0f - sigmoid) * (bent * 3.0f + curve.a);
}

/** Numbers of a chunk; those behind its end are 0. */
struct Eight {
  Lanes lanes{};
  __attribute__((always_inline)) Eight(const float* from, int64_t n) { __builtin_memcpy(&lanes, from, n * sizeof(float)); }
};

/** y = act(x) * up. */
VECTORIZED void gateForward(const float* x, const float* up, float* y, int64_t n, Curve curve) {
  Lanes act, slope;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    curveAt(lanes(x + i), curve, act, slope);
    lanes(y + i) = act * lanes(up + i);
  }
  if (i == n) return;
  curveAt(Eight(x + i, n - i).lanes, curve, act, slope);
  act *= Eight(up + i, n - i).lanes;
  __builtin_memcpy(y + i, &act, (n - i) * sizeof(float));
}

/** The gradients g * up * act'(x) and g * act(x). */
VECTORIZED void gateBackward(const float* g, const float* x, const float* up, float* ofGate, float* ofUp, int64_t n, Curve curve) {
  Lanes act, slope;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    curveAt(lanes(x + i), curve, act, slope);
    lanes(ofUp + i) = lanes(g + i) * act;
    lanes(ofGate + i) = lanes(g + i) * lanes(up + i) * slope;
  }
  if (i == n) return;
  curveAt(Eight(x + i, n - i).lanes, curve, act, slope);
  Lanes of = Eight(g + i, n - i).lanes;
  act *= of;
  slope *= of * Eight(up + i, n - i).lanes;
  __builtin_memcpy(ofUp + i, &act, (n - i) * sizeof(float));
  __builtin_memcpy(ofGate + i, &slope, (n - i) * sizeof(float));
}

VECTORIZED void multiply(float* x, const float* by, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= by[i];
}

/** Calls `of` with parts of [0, n) that are the same for any number of threads. */
template <class F>
void inChunks(int64_t n, F of) {
  parallelFor((n + kChunk - 1) / kChunk, 4, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) of(chunk * kChunk, std::min(kChunk, n - chunk * kChunk));
  });
}

at::Tensor gateValue(const at::Tensor& gate, const at::Tensor& up, Curve curve) {
  auto y = at::empty_like(gate);
  if (gate.scalar_type() == at::kFloat) {
    auto x = gate.const_data_ptr<float>(), u = up.const_data_ptr<float>();
    auto out = y.mutable_data_ptr<float>();
    inChunks(gate.numel(), [&](int64_t at, int64_t n) { gateForward(x + at, u + at, out + at, n, curve); });
    return y;
  }
  auto x = gate.const_data_ptr<at::BFloat16>(), u = up.const_data_ptr<at::BFloat16>();
  auto out = y.mutable_data_ptr<at::BFloat16>();
  const std::vector<float> ones(kChunk, 1.0f);
  inChunks(gate.numel(), [&](int64_t at, int64_t n) {
    float wide[kChunk], act[kChunk];
    widen(x + at, wide, n);
    gateForward(wide, ones.data(), act, n, curve);
    narrow(act, out + at, n);  // the plain formula's activation is a bf16 number
    widen(out + at, act, n);
    widen(u + at, wide, n);
    multiply(act, wide, n);
    narrow(act, out + at, n);
  });
  return y;
}

struct Gate : torch::autograd::Function<Gate> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up, const std::string& activation) {
    auto x = gate.contiguous(), u = up.contiguous();
    context->save_for_backward({x, u});
    context->saved_data["activation"] = activation;
    return gateValue(x, u, curveOf(activation));
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    auto saved = context->get_saved_variables();
    const auto &gate = saved[0], &up = saved[1];
    auto curve = curveOf(context->saved_data["activation"].toStringRef());
    auto g = gradients[0].contiguous();
    auto ofGate = at::empty_like(gate), ofUp = at::empty_like(up);
    if (gate.scalar_type() == at::kFloat) {
      auto x = gate.const_data_ptr<float>(), u = up.const_data_ptr<float>(), of = g.const_data_ptr<float>();
      auto dx = ofGate.mutable_data_ptr<float>(), du = ofUp.mutable_data_ptr<float>();
      inChunks(gate.numel(), [&](int64_t at, int64_t n) { gateBackward(of + at, x + at, u + at, dx + at, du + at, n, curve); });
      return {ofGate, ofUp, at::Tensor()};
    }
    auto x = gate.const_data_ptr<at::BFloat16>(), u = up.const_data_ptr<at::BFloat16>(), of = g.const_data_ptr<at::BFloat16>();
    auto dx = ofGate.mutable_data_ptr<at::BFloat16>(), du = ofUp.mutable_data_ptr<at::BFloat16>();
    const std::vector<float> ones(kChunk, 1.0f);
    inChunks(gate.numel(), [&](int64_t at, int64_t n) {
      float wide[kChunk], g[kChunk], act[kChunk], slope[kChunk];
      widen(x + at, wide, n);
      gateBackward(ones.data(), wide, ones.data(), slope, act, n, curve);
      widen(of + at, g, n);
      narrow(act, du + at, n);
      widen(du + at, act, n);
      multiply(act, g, n);
      narrow(act, du + at, n);
      widen(u + at, wide, n);
      multiply(g, wide, n);
      narrow(g, dx + at, n);  // what the plain formula hands to the activation
      widen(dx + at, g, n);
      multiply(g, slope, n);
      narrow(g, dx + at, n);
    });
    return {ofGate, ofUp, at::Tensor()};
  }
};

at::Tensor gate(const at::Tensor& gate, const at::Tensor& up, const std::string& activation) {
  TORCH_CHECK(gate.device().is_cpu() && up.device().is_cpu(), "works on the CPU");
  TORCH_CHECK((gate.scalar_type() == at::kFloat || gate.scalar_type() == at::kBFloat16) && up.scalar_type() == gate.scalar_type(),
              "takes float32 or bfloat16, both of the same type");
  TORCH_CHECK(gate.sizes() == up.sizes(), "takes two tensors of the same shape");
  curveOf(activation);
  return Gate::apply(gate, up, activation);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("gate(Tensor gate, Tensor up, str activation) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd,
                              [](const at::Tensor& x, const at::Tensor& up, c10::string_view activation) { return gate(x, up, std::string(activation)); }));
}
