// Time by operator: see profile.cc.
#pragma once

#include <napi.h>

/** startProfile(withShapes, processor): counts, in this thread, every operator's calls and own time from now on. */
Napi::Value startProfile(const Napi::CallbackInfo& info);
/** stopProfile(): {seconds, rows: [[name, calls, seconds, module], ...]} since startProfile. */
Napi::Value stopProfile(const Napi::CallbackInfo& info);
/** enterModule(name): operators belong to this module until leaveModule(). */
Napi::Value enterModule(const Napi::CallbackInfo& info);
Napi::Value leaveModule(const Napi::CallbackInfo& info);
