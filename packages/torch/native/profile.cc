// Time by operator, from libtorch's own observer of the dispatcher: it sees what an operator calls inside, and the
// backward pass. Costs nothing while no profile runs. An operator's own time is what it takes less what the operators
// inside it take. Each operator belongs to the module that was entered last (`enterModule`); one of the backward pass to
// the module of its forward operator, which autograd's sequence numbers tell.
#include "profile.h"

#include <ATen/record_function.h>

#include <chrono>
#include <ctime>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Total {
  int64_t calls = 0;
  double seconds = 0;
};

struct Frame : at::ObserverContext {
  std::string name;
  std::string module;
  double started;
  double inside = 0;  // seconds of the operators that this one called
};

// Of one thread, as the observer is: operators of a backward pass on a CPU run in the thread that asked for it.
struct Profile {
  bool running = false;
  bool withShapes = false;
  bool processor = false;
  at::CallbackHandle handle = 0;
  double started = 0;
  std::vector<Frame*> open;
  std::vector<std::string> modules;
  std::unordered_map<int64_t, std::string> moduleOf;  // by sequence number
  std::map<std::pair<std::string, std::string>, Total> totals;  // by module and name
};
thread_local Profile profile;

/** Seconds: of the clock, or what all threads of the process have used of the processor. */
double now() {
  if (profile.processor) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string described(const at::RecordFunction& function) {
  std::string name = function.name();
  if (!profile.withShapes || !function.needsInputs()) return name;
  for (const c10::IValue& input : function.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined()) continue;
    name += name.back() == ']' ? "," : " ";
    name += "[";
    for (int64_t i = 0; i < input.toTensor().dim(); ++i) name += (i ? "x" : "") + std::to_string(input.toTensor().size(i));
    name += "]";
  }
  return name;
}

/** The module that an operator belongs to; remembers it for the operator's backward pass. */
std::string moduleOf(const at::RecordFunction& function) {
  bool backward = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
  if (backward) {
    auto found = profile.moduleOf.find(function.seqNr());
    if (found != profile.moduleOf.end()) return found->second;
  }
  // What an operator calls inside belongs to where it belongs itself.
  std::string module = !profile.open.empty() ? profile.open.back()->module : profile.modules.empty() ? "" : profile.modules.back();
  if (!backward && function.seqNr() >= 0) profile.moduleOf[function.seqNr()] = module;
  return module;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  auto frame = std::make_unique<Frame>();
  frame->name = described(function);
  frame->module = moduleOf(function);
  profile.open.push_back(frame.get());
  frame->started = now();
  return frame;
}

void end(const at::RecordFunction&, at::ObserverContext* context) {
  auto frame = static_cast<Frame*>(context);
  if (!frame) return;  // begin threw
  double seconds = now() - frame->started;
  profile.open.pop_back();
  Total& total = profile.totals[{frame->module, frame->name}];
  total.calls++;
  total.seconds += seconds - frame->inside;
  if (!profile.open.empty()) profile.open.back()->inside += seconds;
}

}  // namespace

Napi::Value startProfile(const Napi::CallbackInfo& info) {
  if (profile.running) throw std::runtime_error("a profile runs already in this thread");
  profile.withShapes = info[0].ToBoolean();
  profile.processor = info[1].ToBoolean();
  profile.started = now();
  profile.totals.clear();
  profile.moduleOf.clear();
  auto callback = at::RecordFunctionCallback(begin, end).needsInputs(profile.withShapes);
  profile.handle = at::addThreadLocalCallback(callback.scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  profile.running = true;
  return info.Env().Undefined();
}

Napi::Value stopProfile(const Napi::CallbackInfo& info) {
  if (!profile.running) throw std::runtime_error("no profile runs in this thread");
  double seconds = now() - profile.started;
  at::removeCallback(profile.handle);
  profile.running = false;
  auto rows = Napi::Array::New(info.Env(), profile.totals.size());
  uint32_t i = 0;
  for (auto& [key, total] : profile.totals) {
    auto row = Napi::Array::New(info.Env(), 4);
    row.Set(3u, key.first);
    row.Set(0u, key.second);
    row.Set(1u, static_cast<double>(total.calls));
    row.Set(2u, total.seconds);
    rows.Set(i++, row);
  }
  profile.totals.clear();
  profile.moduleOf.clear();
  auto result = Napi::Object::New(info.Env());
  result.Set("seconds", seconds);
  result.Set("rows", rows);
  return result;
}

Napi::Value enterModule(const Napi::CallbackInfo& info) {
  profile.modules.push_back(info[0].As<Napi::String>());
  return info.Env().Undefined();
}

Napi::Value leaveModule(const Napi::CallbackInfo& info) {
  if (!profile.modules.empty()) profile.modules.pop_back();
  return info.Env().Undefined();
}
