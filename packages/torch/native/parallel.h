// Work that libtorch's threads share.
#pragma once

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

#include <algorithm>
#include <atomic>

/**
 * Runs `body(begin, end)` on parts of 0 to n that begin at multiples of `grain`, on all threads. at::parallel_for is a
 * template: the addon is compiled without OpenMP, and there it has one thread. libtorch's loop over the elements of a
 * tensor is compiled within libtorch.
 */
template <typename Body>
void parallelFor(int64_t n, int64_t grain, const Body& body) {
  const int64_t pieces = (n + grain - 1) / grain;
  if (pieces < 2 || at::get_num_threads() == 1) return body(0, n);
  // Nobody reads its elements: their places are the numbers of the pieces.
  at::Tensor places = at::empty({pieces}, at::kByte);
  const char* first = static_cast<const char*>(places.const_data_ptr());
  at::TensorIterator::nullary_op(places).for_each(
      [&](char** data, const int64_t*, int64_t count) {
        const int64_t piece = data[0] - first;
        body(piece * grain, std::min(n, (piece + count) * grain));
      },
      1);
}

/** Runs `body(0)` to `body(n - 1)` on all threads: each takes the next one when it is free, so none waits for a slow one. */
template <typename Body>
void shareOut(int64_t n, const Body& body) {
  std::atomic<int64_t> next{0};
  parallelFor(std::min<int64_t>(n, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t i = next++; i < n; i = next++) body(i);
  });
}
