// What the kernels of attention are made of: products of small matrices, and passes over their rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vectorized.h"

namespace {
namespace small {

#ifdef HAS_FMA_KERNELS

/** R rows and C times eight columns of a product: with six and two, sums and factors are as many as there are registers. */
template <int R, int C>
WITH_FMA __attribute__((always_inline)) inline void tile(const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep, float* c, int64_t cRow,
                                                         int64_t steps, bool adds) {
  __m256 sums[R][C];
  for (int r = 0; r < R; ++r)
    for (int i = 0; i < C; ++i) sums[r][i] = adds ? _mm256_loadu_ps(c + r * cRow + i * kLanes) : _mm256_setzero_ps();
  for (int64_t k = 0; k < steps; ++k) {
    __m256 y[C];
    for (int i = 0; i < C; ++i) y[i] = _mm256_loadu_ps(b + k * bStep + i * kLanes);
    for (int r = 0; r < R; ++r) {
      const __m256 x = _mm256_broadcast_ss(a + r * aRow + k * aStep);
      for (int i = 0; i < C; ++i) sums[r][i] = _mm256_fmadd_ps(x, y[i], sums[r][i]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int i = 0; i < C; ++i) _mm256_storeu_ps(c + r * cRow + i * kLanes, sums[r][i]);
}

/** All rows, C times eight columns. */
template <int C>
WITH_FMA __attribute__((always_inline)) inline void strip(const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep, float* c, int64_t cRow,
                                                          int64_t rows, int64_t steps, bool adds) {
  int64_t row = 0;
  for (; row + 6 <= rows; row += 6) tile<6, C>(a + row * aRow, aRow, aStep, b, bStep, c + row * cRow, cRow, steps, adds);
  for (; row + 2 <= rows; row += 2) tile<2, C>(a + row * aRow, aRow, aStep, b, bStep, c + row * cRow, cRow, steps, adds);
  for (; row < rows; ++row) tile<1, C>(a + row * aRow, aRow, aStep, b, bStep, c + row * cRow, cRow, steps, adds);
}

/**
 * c [rows, columns] = a b, or what it was and a b: number (i, k) of a lies at i * aRow + k * aStep, rows of b bStep apart.
 * Columns are a multiple of eight.
 */
WITH_FMA void product(const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep, float* c, int64_t cRow, int64_t rows, int64_t columns,
                      int64_t steps, bool adds) {
  int64_t column = 0;
  for (; column + 2 * kLanes <= columns; column += 2 * kLanes) strip<2>(a, aRow, aStep, b + column, bStep, c + column, cRow, rows, steps, adds);
  for (; column < columns; column += kLanes) strip<1>(a, aRow, aStep, b + column, bStep, c + column, cRow, rows, steps, adds);
}

/** Eight rows of eight numbers -> eight columns. */
WITH_FMA __attribute__((always_inline)) inline void transposeEight(const float* x, int64_t apart, float* y, int64_t wide) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(x + i * apart);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
      a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xee);
    }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(y + i * wide, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(y + (i + 4) * wide, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

/** [S, D], rows so far apart -> [D, wide]. */
WITH_FMA void transpose(const float* x, int64_t apart, float* y, int64_t wide, int64_t length, int64_t width) {
  const int64_t eights = length / 8 * 8, across = width / 8 * 8;
  for (int64_t j = 0; j < eights; j += 8)
    for (int64_t d = 0; d < across; d += 8) transposeEight(x + j * apart + d, apart, y + d * wide + j, wide);
  for (int64_t j = 0; j < length; ++j)
    for (int64_t d = j < eights ? across : 0; d < width; ++d) y[d * wide + j] = x[j * apart + d];
}

#else

void product(const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t, int64_t, int64_t, int64_t, bool) {}
void transpose(const float*, int64_t, float*, int64_t, int64_t, int64_t) {}

#endif

VECTORIZED void scaled(const float* x, float* y, int64_t n, float by) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * by;
}

VECTORIZED float dot(const float* x, const float* y, int64_t n) {
  Lanes sums{};
  for (int64_t i = 0; i < n; i += kLanes) sums += lanes(x + i) * lanes(y + i);
  return sumOf(sums);
}

/** Room for numbers. It begins with a line of the cache, so that no load of eight touches two. */
class Room {
 public:
  /** So many numbers, of which nobody knows what they are. Numbers of before may have moved. */
  float* of(int64_t numbers) {
    constexpr uintptr_t line = 64;
    const size_t enough = numbers + line / sizeof(float);
    if (memory_.size() < enough) memory_.resize(enough);
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory_.data()) + line - 1) / line * line);
  }

 private:
  std::vector<float> memory_;
};

}  // namespace small
}  // namespace
