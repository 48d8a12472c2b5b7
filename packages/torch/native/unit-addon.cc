// The other unit for the compiler: what JavaScript calls. See unit-kernels.cc.
#include "addon.cc"
#include "dispatch.cc"
#include "distributed.cc"
#include "give-back.cc"
#include "private.cc"
#include "profile.cc"
