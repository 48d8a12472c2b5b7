// Loops over numbers, compiled for several processors at once; the one that runs them is found at the start.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

// Chosen by what a processor can do. The name of one ("arch=haswell") would be asked for its maker and model, too: no
// other processor would run that clone.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#elif defined(__x86_64__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#elif defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((optimize("O3")))
#else
#define VECTORIZED
#endif

/** Eight numbers side by side. A sum that is kept in them is in one order whatever the processor. */
typedef float Lanes __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int kLanes = 8;

__attribute__((always_inline)) inline const Lanes& lanes(const float* x) { return *reinterpret_cast<const Lanes*>(x); }
__attribute__((always_inline)) inline Lanes& lanes(float* x) { return *reinterpret_cast<Lanes*>(x); }
__attribute__((always_inline)) inline float sumOf(const Lanes& x) {
  return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7]));
}

namespace {

/** bf16 to fp32. */
VECTORIZED void widen(const at::BFloat16* in, float* out, int64_t n) {
  auto bits = reinterpret_cast<const uint16_t*>(in);
  for (int64_t i = 0; i < n; ++i) {
    uint32_t wide = static_cast<uint32_t>(bits[i]) << 16;
    __builtin_memcpy(out + i, &wide, 4);
  }
}

/** Rounds to nearest even. */
VECTORIZED void narrow(const float* in, at::BFloat16* out, int64_t n) {
  auto narrowed = reinterpret_cast<uint16_t*>(out);
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, in + i, 4);
    uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    narrowed[i] = static_cast<uint16_t>(in[i] != in[i] ? 0x7fc0U : rounded);
  }
}

}  // namespace
