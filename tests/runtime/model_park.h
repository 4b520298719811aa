// SPDX-License-Identifier: Apache-2.0
//
// What a ClaimWaiter is made of (park.h, futex.h, timers.h), for a schedule-exploring test: the
// same contracts, a step of the explorer at each operation, and a failure when a contract is
// broken. claim_waiter.cc is compiled with CURG_MODEL_PARK naming this header.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/wait_reason.h"
#include "tests/runtime/model_atomic.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {

using ClaimWord = model::ModelAtomic<uint32_t>;
using ClaimFlag = model::ModelAtomic<bool>;

struct Task {
  bool parked = false;  // or about to be: its commit runs
  bool woken = false;
};

struct Timer {
  void (*fire)(Timer* timer) = nullptr;
  int64_t when = 0;
};

// One schedule's: who waits, and for what.
struct ModelPark {
  struct Sleeper {
    const void* word;
    bool woken;
  };

  Task* waits_as = nullptr;  // what the one thread that waits is; null: a plain thread
  std::vector<Sleeper*> sleepers;
  std::vector<Timer*> timers;
  bool timer_or_end = false;  // a timer was set, or none will be
  int plain_waiters = 0;
};
inline ModelPark* g_park = nullptr;

inline Task* TaskToPark() { return g_park->waits_as; }

// The commit runs elsewhere, so from here on others may go first.
inline void Park(WaitReason, const void*, bool (*commit)(void* arg), void* arg) {
  Task& task = *TaskToPark();
  task = {.parked = true};
  model::Step();
  if (commit(arg)) {
    model::Sleep(&task.woken, /*may_time_out=*/false);
  } else {
    model::Expect(!task.woken, "nobody wakes a task that does not park");
  }
  task.parked = false;
}

inline void Unpark(Task* task) {
  model::Step();
  model::Expect(task->parked && !task->woken, "unparks a task that is not parked, or twice");
  task->woken = true;
}

inline bool FutexWait(const ClaimWord& word, uint32_t expected, int64_t deadline) {
  model::Step();
  if (word.Peek() != expected) return true;
  ModelPark::Sleeper self = {.word = &word, .woken = false};
  g_park->sleepers.push_back(&self);
  const bool may_time_out = deadline != std::numeric_limits<int64_t>::max();
  const bool woken = model::Sleep(&self.woken, may_time_out);
  std::erase(g_park->sleepers, &self);
  return woken;
}

// The word may be gone.
inline void FutexWake(const ClaimWord& word) {
  model::Step();
  for (ModelPark::Sleeper* sleeper : g_park->sleepers) {
    if (sleeper->word == &word) sleeper->woken = true;
  }
}

inline void AddPlainWaiters(int count) {
  model::Step();
  g_park->plain_waiters += count;
}

inline void AddTimer(Task*, Timer* timer) {
  model::Step();
  g_park->timers.push_back(timer);
  g_park->timer_or_end = true;
}

struct TimerQueue {
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  static bool Cancel(Timer* timer) {
    model::Step();
    return std::erase(g_park->timers, timer) != 0;
  }
};

inline void YieldThread() { model::SpinStep(); }

inline bool InForkedChild() { return false; }
[[noreturn]] inline void FatalInForkedChild(const char*) { __builtin_trap(); }

}  // namespace curg::internal
