// Work that libtorch's threads share.
#pragma once

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

#include <algorithm>
#include <atomic>

constexpr int64_t kPartsOfThread = 8;  // of a loop, so that a thread that is slow for a while gets fewer of them

/**
 * Runs `body(0)` to `body(n - 1)` on all threads: each takes the next one when it is free, so none waits for a slow one.
 * at::parallel_for is a template: the addon is compiled without OpenMP, and there it has one thread. libtorch's loop over
 * the elements of a tensor is compiled within libtorch.
 */
template <typename Body>
void shareOut(int64_t n, const Body& body) {
  const int64_t threads = std::min<int64_t>(n, at::get_num_threads());
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next++; i < n; i = next++) body(i);
  };
  if (threads < 2) return work();
  // Nobody reads its elements: each is a thread's.
  at::Tensor places = at::empty({threads}, at::kByte);
  at::TensorIterator::nullary_op(places).for_each([&](char**, const int64_t*, int64_t) { work(); }, 1);
}

/** Runs `body(begin, end)` on parts of 0 to n that begin at multiples of `grain`, on all threads. */
template <typename Body>
void parallelFor(int64_t n, int64_t grain, const Body& body) {
  const int64_t grains = (n + grain - 1) / grain, threads = at::get_num_threads();
  const int64_t parts = threads < 2 ? 1 : std::min(grains, kPartsOfThread * threads);
  if (parts < 2) return body(0, n);
  shareOut(parts, [&](int64_t i) { body(grains * i / parts * grain, std::min(n, grains * (i + 1) / parts * grain)); });
}
