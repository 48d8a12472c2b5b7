// promot::unpack_bits_: numbers that files store in a few bits each, N blocks at a time, on a CPU. A number is
// q * scale (+ plus), each rounded to fp32; q is an unsigned number of some bits, less an offset, or a signed byte. The
// bits of a number lie in two places, the lower ones in `low` and those above them in `high`.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

/** Parts of `bits` bits in rows of `width` bytes: the lowest parts of a row's bytes come first, then the next ones. */
struct Parts {
  const uint8_t* bytes;
  int64_t stride;  // bytes from one block to the next
  int64_t width, bits;
};

/** A number for each group of a block, fp32 or fp16. */
struct Groups {
  const float* floats;
  const c10::Half* halves;
  int64_t stride;  // numbers from one block to the next
  bool isThere() const { return floats || halves; }
  float at(int64_t block, int64_t group) const {
    const int64_t place = block * stride + group;
    return halves ? static_cast<float>(halves[place]) : floats[place];
  }
};

/** Numbers of a block that lie side by side, in one part of their bytes and under one scale. */
struct Stretch {
  int64_t low, high;  // bytes from the beginning of the block
  int lowShift, highShift;
  int64_t group;
};

struct Unpacking {
  Parts low, high;
  bool isSigned;
  int offset;
  Groups scale, plus;
  int64_t elements, length;  // of a block; length: of a stretch
  std::vector<Stretch> stretches;
  float* out;
};

VECTORIZED void unpack(const Unpacking& work, int64_t begin, int64_t end) {
  const int lowMask = (1 << work.low.bits) - 1, highMask = (1 << work.high.bits) - 1, highBy = static_cast<int>(work.low.bits);
  const int64_t n = work.length;
  const int offset = work.offset;
  for (int64_t block = begin; block < end; ++block) {
    float* __restrict out = work.out + block * work.elements;
    for (const Stretch& stretch : work.stretches) {
      const uint8_t* __restrict low = work.low.bytes + block * work.low.stride + stretch.low;
      const float scale = work.scale.at(block, stretch.group);
      const int lowShift = stretch.lowShift;
      if (work.isSigned) {
        for (int64_t j = 0; j < n; ++j) out[j] = static_cast<float>(static_cast<int8_t>(low[j])) * scale;
      } else if (work.high.bytes) {
        const uint8_t* __restrict high = work.high.bytes + block * work.high.stride + stretch.high;
        const int highShift = stretch.highShift;
        for (int64_t j = 0; j < n; ++j)
          out[j] = static_cast<float>(((low[j] >> lowShift & lowMask) | (high[j] >> highShift & highMask) << highBy) - offset) * scale;
      } else {
        for (int64_t j = 0; j < n; ++j) out[j] = static_cast<float>((low[j] >> lowShift & lowMask) - offset) * scale;
      }
      if (work.plus.isThere()) {
        const float plus = work.plus.at(block, stretch.group);
        for (int64_t j = 0; j < n; ++j) out[j] += plus;
      }
      out += n;
    }
  }
}

/** Checks that `bytes` [N, count] holds the parts of `elements` numbers a block. */
Parts partsOf(const at::Tensor& bytes, int64_t width, int64_t bits, int64_t blocks, int64_t elements) {
  TORCH_CHECK(bytes.device().is_cpu() && bytes.dim() == 2 && bytes.size(0) == blocks && bytes.stride(1) == 1, "takes bytes [N, count] on the CPU, side by side");
  TORCH_CHECK((bits == 1 || bits == 2 || bits == 4 || bits == 8) && width > 0 && bytes.size(1) % width == 0 && bytes.size(1) * 8 / bits == elements,
              "the bytes are rows of `width`, with one part of 1, 2, 4 or 8 bits for each number");
  return {static_cast<const uint8_t*>(bytes.const_data_ptr()), bytes.stride(0), width, bits};
}

/** Checks that there is a number for each of `groups` groups of a block. */
Groups groupsOf(const at::Tensor& numbers, int64_t blocks, int64_t groups, int64_t elements) {
  const bool isHalf = numbers.scalar_type() == at::kHalf;
  TORCH_CHECK(numbers.device().is_cpu() && (isHalf || numbers.scalar_type() == at::kFloat) && numbers.dim() == 2 && numbers.size(0) == blocks &&
                  numbers.size(1) > 0 && numbers.size(1) == groups && elements % groups == 0 && (groups == 1 || numbers.stride(1) == 1),
              "scales are float32 or float16 [N, groups], those of a block side by side, and so is what is added");
  if (isHalf) return {nullptr, numbers.const_data_ptr<c10::Half>(), numbers.stride(0)};
  return {numbers.const_data_ptr<float>(), nullptr, numbers.stride(0)};
}

void unpackBits(at::Tensor out, const at::Tensor& low, int64_t width, int64_t bits, const std::optional<at::Tensor>& high, int64_t highWidth,
                int64_t highBits, int64_t offset, const at::Tensor& scale, const std::optional<at::Tensor>& plus) {
  TORCH_CHECK(out.device().is_cpu() && out.scalar_type() == at::kFloat && out.dim() == 2 && out.is_contiguous(), "gives float32 [N, numbers], contiguous");
  const int64_t blocks = out.size(0), elements = out.size(1);
  Unpacking work{};
  work.isSigned = low.scalar_type() == at::kChar;
  TORCH_CHECK(work.isSigned ? bits == 8 && !high : low.scalar_type() == at::kByte, "takes uint8, or signed bytes alone");
  TORCH_CHECK(offset >= 0 && offset < 256, "the offset is a byte");
  work.low = partsOf(low, width, bits, blocks, elements);
  if (high) {
    TORCH_CHECK(high->scalar_type() == at::kByte, "takes uint8");
    work.high = partsOf(*high, highWidth, highBits, blocks, elements);
  }
  const int64_t groups = scale.dim() == 2 ? scale.size(1) : 0;
  work.scale = groupsOf(scale, blocks, groups, elements);
  if (plus) work.plus = groupsOf(*plus, blocks, groups, elements);
  if (out.numel() == 0) return;
  work.offset = static_cast<int>(offset);
  work.out = out.mutable_data_ptr<float>();
  work.elements = elements;
  const int64_t inGroup = elements / groups;
  work.length = std::min({inGroup, width, high ? highWidth : width});
  TORCH_CHECK(inGroup % work.length == 0 && width % work.length == 0 && (!high || highWidth % work.length == 0),
              "groups and rows begin at multiples of the smallest of them");
  auto place = [](const Parts& parts, int64_t e, int64_t& at, int& shift) {
    const int64_t row = e / (parts.width * (8 / parts.bits)), part = e / parts.width % (8 / parts.bits);
    at = row * parts.width + e % parts.width;
    shift = static_cast<int>(part * parts.bits);
  };
  for (int64_t e = 0; e < elements; e += work.length) {
    Stretch stretch{0, 0, 0, 0, e / inGroup};
    place(work.low, e, stretch.low, stretch.lowShift);
    if (high) place(work.high, e, stretch.high, stretch.highShift);
    work.stretches.push_back(stretch);
  }
  parallelFor(blocks, std::max<int64_t>(1, 4096 / elements), [&](int64_t begin, int64_t end) { unpack(work, begin, end); });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def(
      "unpack_bits_(Tensor(a!) out, Tensor low, int width, int bits, Tensor? high, int high_width, int high_bits, int offset, Tensor scale, "
      "Tensor? plus) -> ()",
      torch::dispatch(c10::DispatchKey::CPU, unpackBits));
}
