// Loops over numbers, compiled for several processors at once; the one that runs them is found at the start.
#pragma once

#if defined(__x86_64__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default"), optimize("O3")))
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
