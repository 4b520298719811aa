// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/plugin_storm.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <thread>

#include "runtime/check.h"
#include "runtime/go.h"
#include "runtime/unwind_table.h"
#include "tests/pipeline/storm_functions.h"
#include "tests/profiler/signal_storm.h"

namespace curg::internal {
namespace {

using Plugin = void (*)(void (*)(void*), void*);

// Where the plug-in's function is now, and its size; the samples come a little later than that.
// Not all of the plug-in: right behind lies what dlclose calls, which is another caller.
std::atomic<uintptr_t> g_plugin{0};
std::atomic<uintptr_t> g_plugin_bytes{0};

void Spin(void*) {
  volatile uint64_t sink = 1;
  for (int i = 0; i < 20'000; ++i) sink = sink * 3 + 1;
}

// The plug-in's frame, and right above it that of the only function that calls it.
void Check(const ProfHeader& header, std::span<const uintptr_t> pcs, PluginStormCounts& counts) {
  const uintptr_t plugin = g_plugin.load(std::memory_order_relaxed);
  const uintptr_t bytes = g_plugin_bytes.load(std::memory_order_relaxed);
  const auto at =
      std::find_if(pcs.begin(), pcs.end(), [=](uintptr_t pc) { return pc - plugin < bytes; });
  if (at == pcs.end()) return;
  ++counts.samples;
  // Between them only the lambda, in two frames where it is not optimised.
  const bool called = std::any_of(at, at + std::min<ptrdiff_t>(6, pcs.end() - at),
                                  [](uintptr_t pc) { return StormKindAt(pc - 1) == 0; });
  const bool whole = called && header.shape == StackShape::kWhole;
  counts.whole += whole ? 1 : 0;
  counts.stale += whole ? 0 : 1;
}

struct Call {
  Plugin plugin;
};

size_t SizeOfFunction(void* function) {
  Dl_info info;
  const ElfW(Sym)* symbol = nullptr;
  void** const entry = reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol));
  const bool found = dladdr1(function, &info, entry, RTLD_DL_SYMENT) != 0 && symbol != nullptr;
  CURG_CHECK(found, "dlsym found it");
  return symbol->st_size;
}

void LoadAndCall(const std::string& path, PluginStormCounts& counts, uintptr_t* last) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  CURG_CHECK(handle != nullptr, "the plug-ins are data of this program");
  Call call{reinterpret_cast<Plugin>(dlsym(handle, "curg_test_plugin"))};
  const auto address = reinterpret_cast<uintptr_t>(call.plugin);
  ++counts.loads;
  counts.same_place += address == *last ? 1 : 0;
  *last = address;
  g_plugin.store(address, std::memory_order_relaxed);
  g_plugin_bytes.store(SizeOfFunction(reinterpret_cast<void*>(call.plugin)),
                       std::memory_order_relaxed);
  for (int i = 0; i < 4; ++i) {
    CallAsKind(
        0, [](void* c) { static_cast<Call*>(c)->plugin(&Spin, nullptr); }, &call);
  }
  dlclose(handle);
}

}  // namespace

PluginStormCounts RunPluginStorm(const std::vector<std::string>& paths, int64_t samples) {
  PluginStormCounts counts;
  std::atomic<bool> stop{false};
  // Before the first sample, as a profile does: the root of a task is known only from the tables.
  const auto refresh = [] { CURG_CHECK(RefreshUnwindTables().ok(), "no memory for tables"); };
  refresh();
  std::thread compiler([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      refresh();
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  });
  curg::Run({.workers = 1}, [&] {
    std::atomic<int64_t> seen{0};
    SignalStorm storm({}, [&](const ProfHeader& header, auto pcs) {
      Check(header, pcs, counts);
      seen.store(counts.samples, std::memory_order_relaxed);
    });
    uintptr_t last = 0;
    for (size_t i = 0; seen.load(std::memory_order_relaxed) < samples; ++i) {
      LoadAndCall(paths[i % paths.size()], counts, &last);
    }
  });
  stop.store(true, std::memory_order_relaxed);
  compiler.join();
  return counts;
}

}  // namespace curg::internal
