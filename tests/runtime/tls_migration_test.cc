// SPDX-License-Identifier: Apache-2.0
//
// No address of a thread-local variable survives a change of threads. Compiled with optimisation
// whatever the build, since only then would the compiler keep one.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/thread_state.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

// Goes where thieves and other workers' timers take it, so that it often moves.
// Inlined on purpose, as user code would be.
inline bool Migrate(int round) {
  const pid_t before = gettid();
  if (round % 4 == 0) {
    SleepFor(std::chrono::microseconds(20));
  } else {
    Yield();
  }
  return gettid() != before;
}

TEST(TlsMigration, CurrentFollowsTheTask) {
  constexpr int kMigrations = 2'000;
  Watchdog watchdog;
  std::atomic<int> migrations{0};
  curg::Run({.workers = 4}, [&] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 8; ++i) {
      handles.push_back(Go([&] {
        Task* const self = CurrentTask();
        const uint64_t id = CurrentTaskId();
        for (int round = 0; migrations < kMigrations; ++round) {
          Worker* const worker_before = CurrentWorker();
          ThreadState* const state_before = &ThisThread();
          const bool moved = Migrate(round);
          if (moved) {
            migrations.fetch_add(1, std::memory_order_relaxed);
            watchdog.Progress();
          }
          // What is cached would say what was true before.
          ASSERT_EQ(CurrentTask(), self);
          ASSERT_EQ(CurrentTaskId(), id);
          ASSERT_EQ(CurrentWorker() != worker_before, moved);
          ASSERT_EQ(&ThisThread() != state_before, moved);
          ASSERT_EQ(ThisThread().current.load(), self);
        }
      }));
    }
    for (auto& handle : handles) handle.Join();
  });
}

}  // namespace
}  // namespace curg::internal
