// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_table.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/loaded_modules.h"
#include "runtime/traceback.h"
#include "runtime/unwind_index.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

using Plugin = void (*)(void (*)(void*), void*);

class LoadedPlugin {
 public:
  explicit LoadedPlugin(const std::string& name)
      : handle_(dlopen(("tests/runtime/" + name).c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
    function_ = reinterpret_cast<Plugin>(dlsym(handle_, "curg_test_plugin"));
  }
  ~LoadedPlugin() { EXPECT_EQ(dlclose(handle_), 0); }

  Plugin function() const { return function_; }
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(function_); }

 private:
  void* handle_;
  Plugin function_;
};

struct Trace {
  std::vector<uintptr_t> pcs = std::vector<uintptr_t>(200);
  Traceback result;
};

void TakeTrace(void* arg) {
  Trace& trace = *static_cast<Trace*>(arg);
  trace.result = WalkStack(RegistersHere(), BoundsOfThisThread(), trace.pcs);
  trace.pcs.resize(trace.result.depth);
}

// Walks from inside the plug-in; expects it in the middle of the trace, and the root at its end.
void ExpectWalkThrough(const LoadedPlugin& plugin) {
  Trace trace;
  plugin.function()(&TakeTrace, &trace);
  EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
  ASSERT_GT(trace.pcs.size(), 3u);
  EXPECT_EQ(std::count_if(trace.pcs.begin(), trace.pcs.end(),
                          [&](uintptr_t pc) { return pc - plugin.address() < 4096; }),
            1);
}

bool HasTable(uintptr_t pc) {
  const UnwindIndex* index = ProcessUnwindIndex().current();
  return index != nullptr && index->Find(pc) != nullptr;
}

TEST(UnwindTable, WalksWorkBeforeTheFirstRefresh) {
  // Tests of one binary run in one process: whether there are tables already depends on the order.
  Trace trace;
  TakeTrace(&trace);
  EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
  EXPECT_GT(trace.pcs.size(), 5u);
}

TEST(UnwindTable, RefreshCompilesWhatIsLoaded) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const UnwindTableStats stats = GetUnwindTableStats();
  EXPECT_GE(stats.modules, 5u);
  EXPECT_GT(stats.rows, 10000u);
  EXPECT_GT(stats.bytes, stats.rows * sizeof(UnwindRow));
  EXPECT_EQ(stats.retired, 0u);
  EXPECT_TRUE(HasTable(reinterpret_cast<uintptr_t>(&HasTable)));
  EXPECT_TRUE(HasTable(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "qsort"))));
}

TEST(UnwindTable, RefreshChangesNothingWhenNothingChanged) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const UnwindIndex* before = ProcessUnwindIndex().current();
  const uint64_t refreshes = GetUnwindTableStats().refreshes;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(RefreshUnwindTables().ok());
  EXPECT_EQ(ProcessUnwindIndex().current(), before);
  EXPECT_EQ(GetUnwindTableStats().refreshes, refreshes);
}

TEST(UnwindTable, FollowsLoadingAndUnloading) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const size_t modules = GetUnwindTableStats().modules;
  const auto own_table =
      ProcessUnwindIndex().current()->Find(reinterpret_cast<uintptr_t>(&HasTable));
  uintptr_t address = 0;
  {
    LoadedPlugin plugin("unwind_plugin_a.so");
    address = plugin.address();
    EXPECT_FALSE(HasTable(address));
    ExpectWalkThrough(plugin);  // decoded on the spot
    ASSERT_TRUE(RefreshUnwindTables().ok());
    EXPECT_TRUE(HasTable(address));
    EXPECT_EQ(GetUnwindTableStats().modules, modules + 1);
    ExpectWalkThrough(plugin);
  }
  ASSERT_TRUE(RefreshUnwindTables().ok());
  EXPECT_FALSE(HasTable(address));
  EXPECT_EQ(GetUnwindTableStats().modules, modules);
  // What stayed was not compiled again.
  EXPECT_EQ(ProcessUnwindIndex().current()->Find(reinterpret_cast<uintptr_t>(&HasTable)),
            own_table);
}

TEST(LoadedModules, WhatTheProgramWasLinkedWithStays) {
  LoadedPlugin plugin("unwind_plugin_a.so");
  const auto is_permanent = [](uintptr_t address) {
    ModuleIdentity identity;
    EXPECT_TRUE(FindModule(address, &identity));
    bool permanent = false;
    LoaderGeneration generation;
    VisitLoadedModules(&generation, [&](const LoadedModule& module) {
      if (module.identity == identity) permanent = module.permanent;
    });
    return permanent;
  };
  EXPECT_TRUE(is_permanent(reinterpret_cast<uintptr_t>(&HasTable)));
  EXPECT_TRUE(is_permanent(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "qsort"))));
  EXPECT_TRUE(is_permanent(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "__cxa_throw"))));
  EXPECT_FALSE(is_permanent(plugin.address()));
}

TEST(UnwindTable, AnotherModuleInTheSamePlaceIsNotWalkedByTheOldTable) {
  ModuleIdentity last;
  int indistinguishable = 0;
  for (int i = 0; i < 20; ++i) {
    LoadedPlugin plugin(i % 2 == 0 ? "unwind_plugin_a.so" : "unwind_plugin_b.so");
    ModuleIdentity identity;
    ASSERT_TRUE(FindModule(plugin.address(), &identity));
    indistinguishable += identity == last ? 1 : 0;
    last = identity;
    if (i % 4 == 0) {
      ASSERT_TRUE(RefreshUnwindTables().ok());
    }
    ExpectWalkThrough(plugin);
  }
  std::printf("%d of 19 looked just like the one before\n", indistinguishable);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose heap reuses nothing
  EXPECT_GT(indistinguishable, 0) << "this test tests less than it says";
#endif
}

TEST(UnwindTable, AModuleThatCannotBeToldFromAnotherHasNone) {
  LoadedPlugin plugin("unwind_plugin_no_id.so");
  ASSERT_TRUE(RefreshUnwindTables().ok());
  EXPECT_FALSE(HasTable(plugin.address()));
  ExpectWalkThrough(plugin);
}

TEST(UnwindTable, AWalkMayRunWhileTablesComeAndGo) {
  std::atomic<bool> stop{false};
  std::atomic<int> walks{0};
  std::thread walker([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      Trace trace;
      TakeTrace(&trace);
      EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
      walks.fetch_add(1, std::memory_order_relaxed);
    }
  });
  for (int i = 0; i < 200 || walks.load(std::memory_order_relaxed) < 1000; ++i) {
    LoadedPlugin plugin(i % 2 == 0 ? "unwind_plugin_a.so" : "unwind_plugin_b.so");
    ASSERT_TRUE(RefreshUnwindTables().ok());
  }
  stop.store(true, std::memory_order_relaxed);
  walker.join();
  ASSERT_TRUE(RefreshUnwindTables().ok());
  EXPECT_EQ(GetUnwindTableStats().retired, 0u);
}

}  // namespace
}  // namespace curg::internal
