// SPDX-License-Identifier: Apache-2.0
//
// LookPace: when a busy worker turns from its own queue to look elsewhere: at the global queue once
// in so many tasks, and, where there is a poller, at that about as often in time as it should.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/tick_clock.h"

namespace curg::internal {

// Both are counted in tasks run (Processor::tick), since to read a clock takes as long as some
// switches. How long tasks take, each look at the poller finds out: longer than before counts at
// once, shorter by half at most. A worker whose tasks are short looks with the global queue, and
// pays nothing for this.
// Owner only: the worker that has the processor.
class LookPace {
 public:
  // A worker that has run this many tasks looks at the global queue before its own, so that a busy
  // ring cannot starve it. Prime, so as not to fall in step with programs (as Go's).
  static constexpr uint32_t kGlobalPeriod = 61;

  // Whether anything is to be looked at before the task of this number runs. Ticks may be left out.
  bool IsDue(uint32_t tick) const { return !IsBefore(tick, next_); }

  // Whether it is the global queue's turn, which is then over.
  bool TakeGlobalTurn(uint32_t tick) {
    if (IsBefore(tick, global_)) return false;
    global_ = next_ = tick + kGlobalPeriod;
    return true;
  }

  // There is a poller, and the worker looks whether it is due: the next time no later than in `ns`,
  // if tasks go on as they have. `now`: TickClock's.
  void OnPollLook(uint32_t tick, uint64_t now, int64_t ns) {
    if (tick != from_tick_) Learn(tick - from_tick_, TickClock::ToNs(now - from_));
    Restart(tick, now);
    next_ = global_;
    const int64_t tasks = std::max<int64_t>(ns / task_ns_, 1);
    if (tasks < kGlobalPeriod && IsBefore(tick + static_cast<uint32_t>(tasks), global_))
      next_ = tick + static_cast<uint32_t>(tasks);
  }

  // The worker comes from elsewhere: what passed until now says nothing of its tasks.
  void Restart(uint32_t tick, uint64_t now) {
    from_tick_ = tick;
    from_ = now;
  }

 private:
  // Longer ones are taken for this long: so it is forgotten after some looks.
  static constexpr int64_t kTaskNsMax = 1'000'000;

  static bool IsBefore(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

  // So many tasks have run in so much time.
  void Learn(uint32_t ran, int64_t ns) {
    task_ns_ = std::clamp<int64_t>(ns / ran, std::max<int64_t>(task_ns_ / 2, 1), kTaskNsMax);
  }

  uint32_t next_ = kGlobalPeriod;    // when something is due
  uint32_t global_ = kGlobalPeriod;  // when the global queue is
  uint32_t from_tick_ = 0;           // since when it learns
  uint64_t from_ = 0;
  int64_t task_ns_ = 1;  // how long a task takes
};

}  // namespace curg::internal
