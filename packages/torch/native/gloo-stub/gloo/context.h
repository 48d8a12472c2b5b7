// Gloo's headers in the few lines that c10d's ProcessGroupGloo.hpp needs to be read. PyTorch ships that header and
// Gloo's code (inside libtorch_cpu) but not Gloo's headers. Nothing of promot makes or looks into these classes: it
// only passes pointers on.
#pragma once
#include <chrono>
#include <memory>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
namespace transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};
}  // namespace transport
}  // namespace gloo
