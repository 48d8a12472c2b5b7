// The mask of dropout: a pure function of a seed and a position, so that nothing of it is stored.
#pragma once

#include <algorithm>
#include <cstdint>

#include "vectorized.h"

namespace {
namespace dropped {

/** 32 well-mixed bits of a position (the "lowbias32" mixing steps: two multiplications, three shifts). */
inline uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return x;
}

VECTORIZED void dropFloat(const float* in, float* out, int64_t n, uint32_t key, uint32_t threshold, float scale, uint32_t first) {
  for (int64_t i = 0; i < n; ++i) out[i] = mix((first + static_cast<uint32_t>(i)) ^ key) < threshold ? 0.0f : in[i] * scale;
}

/** What the mask's bits are mixed with. Positions above 2^32 take another key. */
uint32_t keyOf(int64_t seed, int64_t position) {
  auto low = mix(static_cast<uint32_t>(seed)), high = static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32);
  // The constant tells the halves of the seed apart: without it all seeds with equal halves, 0 among them, had one key.
  return mix(low ^ mix(high + 0x9e3779b9U + static_cast<uint32_t>(position >> 32)));
}

/** The mask of rate p. */
struct Mask {
  int64_t seed;
  uint32_t threshold;
  float scale;

  Mask(double p, int64_t of) : seed(of), threshold(static_cast<uint32_t>(p * 4294967296.0)), scale(static_cast<float>(1.0 / (1.0 - p))) {}

  /** Calls `of(first, count, key)` with runs of positions that share a key. */
  template <class F>
  void each(int64_t begin, int64_t end, F of) const {
    while (begin < end) {
      const int64_t stop = std::min(end, ((begin >> 32) + 1) << 32);
      of(begin, stop - begin, keyOf(seed, begin));
      begin = stop;
    }
  }

  /** y [n] = x [n], dropped and scaled, where x lies at `position`. */
  void drop(const float* x, float* y, int64_t position, int64_t n) const {
    each(position, position + n, [&](int64_t at, int64_t count, uint32_t key) {
      dropFloat(x + (at - position), y + (at - position), count, key, threshold, scale, static_cast<uint32_t>(at));
    });
  }
};

}  // namespace dropped
}  // namespace
