// Whether a backward pass adds to the gradients of leaves (`backward`), or gives them back (`grad`).
#pragma once

/** Of this thread's backward pass: a kernel may add a leaf's gradient to the one that is there. */
inline thread_local bool addsGradients = false;

/** The passes of this thread add, while it lives. */
struct AddsGradientsGuard {
  AddsGradientsGuard() { addsGradients = true; }
  ~AddsGradientsGuard() { addsGradients = false; }
};
