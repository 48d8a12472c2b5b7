// libtorch's private operators (names with an underscore) trust their caller, and some write beyond the ends of tensors
// that do not fit. Those that promot uses are checked here before the call.
#include "private.h"

#include <ATen/core/Tensor.h>

#include <stdexcept>
#include <string>

namespace {

[[noreturn]] void refuse(const std::string& why) { throw std::invalid_argument(why); }

/** aten::_chunk_cat(Tensor[] tensors, int dim, int num_chunks): divides along `dim` without looking whether it is there. */
void checkChunkCat(const std::vector<c10::IValue>& stack) {
  int64_t dim = stack.at(1).toInt();
  for (const at::Tensor& tensor : stack.at(0).toTensorVector())
    if (!tensor.defined() || dim < 0 || dim >= tensor.dim()) refuse("each tensor has the dimension 'dim', counted from 0");
}

/** The list holds as many tensors as `self`, each laid out in memory as the one of `self`. */
void checkAlike(const std::vector<at::Tensor>& self, const std::vector<at::Tensor>& list, const char* name) {
  if (list.size() != self.size()) refuse(std::string("'") + name + "' has one tensor for each of 'self'");
  for (size_t i = 0; i < self.size(); ++i) {
    const at::Tensor &one = self[i], &other = list[i];
    bool alike = one.defined() && other.defined() && one.layout() == at::kStrided && other.layout() == at::kStrided &&
                 one.is_non_overlapping_and_dense() && one.sizes() == other.sizes() && one.strides() == other.strides() &&
                 one.scalar_type() == other.scalar_type() && one.device() == other.device();
    if (!alike) refuse(std::string("each tensor of '") + name + "' has the sizes, strides, type and device of that of 'self', without holes");
  }
}

void checkNumber(const at::Tensor& tensor, const char* name) {
  if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.numel() != 1 || tensor.scalar_type() != at::kFloat || tensor.is_meta())
    refuse(std::string("'") + name + "' is one float32 number");
}

/** aten::_fused_adamw_: lists of tensors of equal sizes; steps, scale and found_inf are single numbers. */
void checkFusedAdamW(const std::vector<c10::IValue>& stack) {
  auto self = stack.at(0).toTensorVector();
  checkAlike(self, self, "self");
  checkAlike(self, stack.at(1).toTensorVector(), "grads");
  checkAlike(self, stack.at(2).toTensorVector(), "exp_avgs");
  checkAlike(self, stack.at(3).toTensorVector(), "exp_avg_sqs");
  bool amsgrad = stack.at(11).toBool();
  if (amsgrad) checkAlike(self, stack.at(4).toTensorVector(), "max_exp_avg_sqs");
  auto steps = stack.at(5).toTensorVector();
  if (steps.size() != self.size()) refuse("'state_steps' has one number for each tensor of 'self'");
  for (const at::Tensor& step : steps) checkNumber(step, "state_steps");
  for (size_t i : {13, 14})
    if (stack.at(i).isTensor() && stack.at(i).toTensor().defined()) checkNumber(stack.at(i).toTensor(), i == 13 ? "grad_scale" : "found_inf");
}

}  // namespace

PrivateCheck privateCheckOf(const std::string& operatorName) {
  if (operatorName == "aten::_chunk_cat") return checkChunkCat;
  if (operatorName == "aten::_fused_adamw_") return checkFusedAdamW;
  return nullptr;
}
