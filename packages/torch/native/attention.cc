// promot::attention: libtorch's scaled_dot_product_attention with dropout whose mask is a function of a seed. libtorch's
// kernels draw it from the device's own generator, which is given the seed first. The mask differs between devices.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include <mutex>

namespace {

/** Other threads of JavaScript seed the same generator. */
std::mutex seeding;

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask, double p,
                     bool causal, std::optional<double> scale, int64_t seed) {
  auto device = query.device();
  at::Generator generator = device.is_cpu() ? at::detail::getDefaultCPUGenerator() : at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> alone(seeding);
  {
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_current_seed(static_cast<uint64_t>(seed));
  }
  return at::scaled_dot_product_attention(query, key, value, mask, p, causal, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("attention(Tensor query, Tensor key, Tensor value, Tensor? mask, float p, bool causal, float? scale, int seed) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, attention));
}
