// Process groups: c10d's TCPStore, and Gloo (NCCL too where its header was there) registered under a name, which is
// what the operators _c10d_functional::* are given. What may wait runs on another thread and gives a promise. One group
// a process.
#include "distributed.h"

#include "dispatch.h"
#include "state.h"

#ifdef PROMOT_GLOO
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef PROMOT_NCCL
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#include <c10/util/Logging.h>

#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

namespace {

using std::chrono::milliseconds;
using Result = std::function<Napi::Value(Napi::Env)>;

/**
 * Runs work on a thread of its own and gives a promise; what the work returns makes the promise's value. Not on Node's
 * pool: its few threads have files to read, and Node does not end before they come back.
 */
Napi::Value inBackground(Napi::Env env, std::function<Result()> work) {
  auto deferred = Napi::Promise::Deferred::New(env);
  auto back = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "promot", 0, 1);
  std::thread([deferred, back, work = std::move(work)]() mutable {
    Result result;
    std::string problem;
    try {
      result = work();
    } catch (const std::exception& error) {
      problem = messageOf(error);
    }
    // Tensors and stores that the work holds are let go here; the JavaScript thread has nothing to wait for.
    work = nullptr;
    auto status = back.NonBlockingCall([deferred, result, problem](Napi::Env env, Napi::Function) {
      if (!problem.empty()) deferred.Reject(Napi::Error::New(env, problem).Value());
      else deferred.Resolve(result ? result(env) : env.Undefined());
    });
    if (status == napi_ok) back.Release();
  }).detach();
  return deferred.Promise();
}

/**
 * Writes a count and a note (where this rank is) under a key twice a second, whatever the JavaScript thread does. Whose
 * count stands still has ended or is out of reach.
 */
class Beat {
 public:
  Beat(c10::intrusive_ptr<c10d::Store> store, std::string key) : thread([this, store, key] { run(*store, key); }) {}
  ~Beat() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    changed.notify_one();
    thread.join();
  }
  void write(std::string text) {
    std::lock_guard<std::mutex> lock(mutex);
    note = std::move(text);
  }

 private:
  void run(c10d::Store& store, const std::string& key) {
    std::unique_lock<std::mutex> lock(mutex);
    try {
      for (int64_t count = 0; !stopping; ++count) {
        store.set(key, std::to_string(count) + " " + note);
        changed.wait_for(lock, milliseconds(500));
      }
    } catch (const std::exception&) {
      // The store is gone: whoever needs it next says so.
    }
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  std::string note;
  std::thread thread;
};

/** The process's one group. Never destroyed at the end of the process: that would wait for peers that may be gone. */
struct Session {
  std::mutex mutex;
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::unique_ptr<Beat> beat;
};
Session& session = *new Session;

c10::intrusive_ptr<c10d::Store> openedStore() {
  std::lock_guard<std::mutex> lock(session.mutex);
  if (!session.store) throw std::runtime_error("there is no process group");
  return session.store;
}

std::string text(Napi::Value value) { return value.As<Napi::String>().Utf8Value(); }

std::vector<std::string> texts(Napi::Value value) {
  auto array = value.As<Napi::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < array.Length(); ++i) result.push_back(text(array.Get(i)));
  return result;
}

milliseconds limit(Napi::Value value) { return milliseconds(value.As<Napi::Number>().Int64Value()); }

Napi::Value openStore(const Napi::CallbackInfo& info) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value());
  options.isServer = info[2].As<Napi::Boolean>().Value();
  options.waitWorkers = false;
  options.timeout = limit(info[4]);
  // The other server is written for libtorch's libuv; inside Node.js it would meet Node's.
  options.useLibUV = false;
  // c10d logs what it throws, with a stack trace. Whoever wants that sets TORCH_CPP_LOG_LEVEL.
  if (std::getenv("TORCH_CPP_LOG_LEVEL")) c10::initLogging();
  else FLAGS_caffe2_log_level = 3;
  info.Env().AddCleanupHook([] { session.beat.reset(); });
  return inBackground(info.Env(), [options, host = text(info[0]), prefix = text(info[3]), key = text(info[5])]() -> Result {
    auto open = [&](bool server) {
      auto own = options;
      own.isServer = server;
      return c10::make_intrusive<c10d::PrefixStore>(prefix, c10::make_intrusive<c10d::TCPStore>(host, own));
    };
    auto store = open(options.isServer);
    // A connection of its own: a request on the first one must not hold the beat up.
    auto beat = std::make_unique<Beat>(open(false), key);
    std::lock_guard<std::mutex> lock(session.mutex);
    session.store = store;
    session.beat = std::move(beat);
    return {};
  });
}

Napi::Value note(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> lock(session.mutex);
  if (session.beat) session.beat->write(text(info[0]));
  return info.Env().Undefined();
}

Napi::Value storeSet(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [key = text(info[0]), value = text(info[1])]() -> Result {
    openedStore()->set(key, value);
    return {};
  });
}

Napi::Value storeAdd(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [key = text(info[0]), value = info[1].As<Napi::Number>().Int64Value()]() -> Result {
    auto sum = openedStore()->add(key, value);
    return [sum](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(sum)); };
  });
}

Napi::Value storeCheck(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [keys = texts(info[0])]() -> Result {
    bool there = openedStore()->check(keys);
    return [there](Napi::Env env) { return Napi::Boolean::New(env, there); };
  });
}

Napi::Value storeGet(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [keys = texts(info[0])]() -> Result {
    auto values = openedStore()->multiGet(keys);
    return [values](Napi::Env env) {
      auto array = Napi::Array::New(env, values.size());
      for (size_t i = 0; i < values.size(); ++i)
        array.Set(static_cast<uint32_t>(i), Napi::String::New(env, reinterpret_cast<const char*>(values[i].data()), values[i].size()));
      return array;
    };
  });
}

Napi::Value openGroup(const Napi::CallbackInfo& info) {
  auto number = [&](size_t at) { return info[at].As<Napi::Number>().Int32Value(); };
  return inBackground(info.Env(), [name = text(info[0]), rank = number(1), size = number(2), timeout = limit(info[3]), interface = text(info[4]), address = text(info[5]), cuda = number(6)]() -> Result {
    auto store = openedStore();
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    if (!interface.empty()) options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(interface));
    else if (!address.empty()) options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    else options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", store), rank, size, options);
    group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
    group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
#ifdef PROMOT_NCCL
    if (cuda >= 0) {
      auto own = c10d::ProcessGroupNCCL::Options::create();
      own->timeout = timeout;
      auto nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store), rank, size, own);
      group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, nccl);
      // Connects now and here, not within the first collective on the JavaScript thread.
      nccl->eagerConnectSingleDevice(c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(cuda)));
    }
#else
    if (cuda >= 0) throw std::runtime_error("this addon was compiled without NCCL");
#endif
    group->setGroupName(name);
    c10d::register_process_group(name, group);
    std::lock_guard<std::mutex> lock(session.mutex);
    session.group = group;
    return {};
  });
}

Napi::Value waitTensors(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  auto array = info[0].As<Napi::Array>();
  std::vector<at::Tensor> tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) tensors.push_back(state.get(array.Get(i)));
  return inBackground(info.Env(), [tensors]() -> Result {
    static auto wait = c10::Dispatcher::singleton().findSchemaOrThrow("_c10d_functional::wait_tensor", "");
    for (const auto& tensor : tensors) {
      torch::jit::Stack stack{tensor};
      wait.callBoxed(stack);
    }
    return {};
  });
}

Napi::Value closeGroup(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [storeToo = info[0].As<Napi::Boolean>().Value()]() -> Result {
    std::lock_guard<std::mutex> lock(session.mutex);
    session.beat.reset();
    if (session.group) c10d::unregister_process_group(session.group->getGroupName());
    session.group.reset();
    if (storeToo) session.store.reset();
    return {};
  });
}

}  // namespace

#endif  // PROMOT_GLOO

void addDistributed(Napi::Env env, Napi::Object exports) {
  auto backends = Napi::Object::New(env);
#ifdef PROMOT_GLOO
  backends.Set("gloo", true);
  auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("openStore", guarded<openStore>);
  add("note", guarded<note>);
  add("storeSet", guarded<storeSet>);
  add("storeAdd", guarded<storeAdd>);
  add("storeCheck", guarded<storeCheck>);
  add("storeGet", guarded<storeGet>);
  add("openGroup", guarded<openGroup>);
  add("waitTensors", guarded<waitTensors>);
  add("closeGroup", guarded<closeGroup>);
#else
  backends.Set("gloo", false);
#endif
#ifdef PROMOT_NCCL
  backends.Set("nccl", true);
#else
  backends.Set("nccl", false);
#endif
  exports.Set("distributedBackends", backends);
}
