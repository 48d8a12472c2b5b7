// What linear layers on AVX2 are made of: products of large matrices, in blocks that the processor's caches hold.
// The second factor is laid out panel by panel: sixteen columns side by side, all steps below each other. The first one is read as it lies.
#pragma once

#include <algorithm>
#include <cstdint>

#include "small-products.h"
#include "vectorized.h"

namespace {
namespace large {

constexpr int64_t kPanel = 16;  // columns: twelve sums, two numbers of a panel and one of a row are as many registers as there are
constexpr int64_t kTile = 6;  // rows
constexpr int64_t kSteps = 384;  // of a block: a panel (24 KB) and the rows of a tile (9 KB) fill the first cache
constexpr int64_t kColumns = 48;  // of panels that are laid out together (72 KB), which lie in the second cache
constexpr int64_t kRows = 96;  // of a block (144 KB), which lies there, too, while it goes through these panels

/** A block of so many steps at most, all but the last one of one size. */
int64_t stepsOfBlock(int64_t steps) {
  const int64_t blocks = (steps + kSteps - 1) / kSteps, each = (steps + blocks - 1) / blocks;
  return (each + kLanes - 1) / kLanes * kLanes;
}

#ifdef HAS_FMA_KERNELS

/** R rows of a panel: c = a b, or what it was and a b. What it was is fetched meanwhile. */
template <int R>
WITH_FMA __attribute__((always_inline)) inline void tile(const float* a, int64_t aRow, const float* panel, float* c, int64_t cRow, int64_t steps, bool adds) {
  __m256 sums[R][2];
  const float* below = a + 3 * aRow;  // two places and one distance reach six rows
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    __builtin_prefetch(c + r * cRow, 1);
    __builtin_prefetch(c + r * cRow + kPanel - 1, 1);
  }
#pragma GCC unroll 4
  for (int64_t k = 0; k < steps; ++k) {
    const __m256 left = _mm256_loadu_ps(panel + k * kPanel), right = _mm256_loadu_ps(panel + k * kPanel + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256 x = _mm256_broadcast_ss((r < 3 ? a + r * aRow : below + (r - 3) * aRow) + k);
      sums[r][0] = _mm256_fmadd_ps(x, left, sums[r][0]);
      sums[r][1] = _mm256_fmadd_ps(x, right, sums[r][1]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    float* to = c + r * cRow;
    _mm256_storeu_ps(to, adds ? _mm256_add_ps(_mm256_loadu_ps(to), sums[r][0]) : sums[r][0]);
    _mm256_storeu_ps(to + kLanes, adds ? _mm256_add_ps(_mm256_loadu_ps(to + kLanes), sums[r][1]) : sums[r][1]);
  }
}

/** As many columns of a panel as there are. */
template <int R>
WITH_FMA void tileOf(const float* a, int64_t aRow, const float* panel, float* c, int64_t cRow, int64_t columns, int64_t steps, bool adds) {
  if (columns == kPanel) return tile<R>(a, aRow, panel, c, cRow, steps, adds);
  float whole[R * kPanel];
  tile<R>(a, aRow, panel, whole, kPanel, steps, false);
  for (int r = 0; r < R; ++r)
    for (int64_t i = 0; i < columns; ++i) c[r * cRow + i] = whole[r * kPanel + i] + (adds ? c[r * cRow + i] : 0.0f);
}

/** All rows of a panel. */
void strip(const float* a, int64_t aRow, const float* panel, float* c, int64_t cRow, int64_t rows, int64_t columns, int64_t steps, bool adds) {
  constexpr decltype(&tileOf<1>) tiles[] = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
  for (int64_t row = 0; row < rows; row += kTile)
    tiles[std::min(kTile, rows - row) - 1](a + row * aRow, aRow, panel, c + row * cRow, cRow, columns, steps, adds);
}

/** Lays a panel out. `isTurned`: what lies side by side in b is the steps of a column. */
WITH_FMA void layOut(const float* b, int64_t bRow, bool isTurned, float* panel, int64_t columns, int64_t steps) {
  if (columns < kPanel) std::fill_n(panel, kPanel * steps, 0.0f);
  if (isTurned) return small::transpose(b, bRow, panel, kPanel, columns, steps);
  for (int64_t k = 0; k < steps; ++k, b += bRow, panel += kPanel) {
    if (columns < kPanel) {
      std::copy_n(b, columns, panel);
      continue;
    }
    _mm256_storeu_ps(panel, _mm256_loadu_ps(b));
    _mm256_storeu_ps(panel + kLanes, _mm256_loadu_ps(b + kLanes));
  }
}

#else

void strip(const float*, int64_t, const float*, float*, int64_t, int64_t, int64_t, int64_t, bool) {}
void layOut(const float*, int64_t, bool, float*, int64_t, int64_t) {}

#endif

/**
 * c [rows, columns] = a b, or what it was and a b, of a [rows, steps] and b [steps, columns]. `isTurned`: b lies as [columns, steps].
 * Rows lie aRow, bRow and cRow apart. A number's bits depend on nothing but its row, its column and what it was.
 */
void product(const float* a, int64_t aRow, const float* b, int64_t bRow, bool isTurned, float* c, int64_t cRow, int64_t rows, int64_t columns, int64_t steps,
             bool adds) {
  static thread_local small::Room memory;
  const int64_t most = stepsOfBlock(steps);
  float* panels = memory.of(kColumns * most);
  for (int64_t step = 0; step < steps; step += most) {
    const int64_t count = std::min(most, steps - step);
    for (int64_t column = 0; column < columns; column += kColumns) {
      const int64_t end = std::min(columns, column + kColumns);
      for (int64_t from = column; from < end; from += kPanel)
        layOut(isTurned ? b + from * bRow + step : b + step * bRow + from, bRow, isTurned, panels + (from - column) * count, std::min(kPanel, end - from), count);
      for (int64_t row = 0; row < rows; row += kRows)
        for (int64_t from = column; from < end; from += kPanel)
          strip(a + row * aRow + step, aRow, panels + (from - column) * count, c + row * cRow + from, cRow, std::min(kRows, rows - row),
                std::min(kPanel, end - from), count, adds || step > 0);
    }
  }
}

/** c [rows, columns] = the transpose of a [steps, rows] times b [steps, columns], or what it was and that. */
void productOfTurned(const float* a, int64_t aRow, const float* b, int64_t bRow, float* c, int64_t cRow, int64_t rows, int64_t columns, int64_t steps, bool adds) {
  static thread_local small::Room memory;
  const int64_t most = stepsOfBlock(steps);
  float* turned = memory.of(rows * most);
  for (int64_t step = 0; step < steps; step += most) {
    const int64_t count = std::min(most, steps - step);
    small::transpose(a + step * aRow, aRow, turned, count, count, rows);
    product(turned, count, b + step * bRow, bRow, false, c, cRow, rows, columns, count, adds || step > 0);
  }
}

}  // namespace large
}  // namespace
