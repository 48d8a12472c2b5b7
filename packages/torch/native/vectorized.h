// Loops over numbers, compiled for several processors at once; the one that runs them is found at the start.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_FMA_KERNELS
#define WITH_FMA __attribute__((target("avx2,fma"), optimize("O3")))

/** Whether kernels written for AVX2 and FMA are to be used. With AVX-512 the libraries' own have wider registers. */
inline bool isForFmaKernels() {
  static const bool is = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !__builtin_cpu_supports("avx512f");
  return is;
}
#else
inline bool isForFmaKernels() { return false; }
#endif

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

typedef int32_t IntLanes __attribute__((vector_size(32)));

/** exp(-x) to about one unit in the last place: 2^n * exp(r) with |r| <= ln(2) / 2 (the polynomial is Cephes' expf). */
__attribute__((always_inline)) inline void expOfMinus(Lanes& x) {
  constexpr float toNearest = 12582912.0f;  // 1.5 * 2^23
  x = -x;
  x = x < -87.0f ? Lanes{} - 87.0f : x;
  x = x > 88.0f ? Lanes{} + 88.0f : x;
  Lanes n = (x * 1.44269504088896341f + toNearest) - toNearest;
  Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  IntLanes bits = (__builtin_convertvector(n, IntLanes) + 127) << 23;
  Lanes power;
  __builtin_memcpy(&power, &bits, sizeof power);
  x = (p * r * r + r + 1.0f) * power;
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
