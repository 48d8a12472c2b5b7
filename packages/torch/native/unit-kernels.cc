// One unit for the compiler: most of its time goes into libtorch's headers, which it so reads once for all kernels.
#include "adafactor.cc"
#include "attention.cc"
#include "cross-entropy.cc"
#include "dropout.cc"
#include "frozen-linear.cc"
#include "gate.cc"
#include "rms-norm.cc"
#include "rotate.cc"
