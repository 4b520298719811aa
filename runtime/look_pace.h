// SPDX-License-Identifier: Apache-2.0
//
// LookPace: when a busy worker turns from its own queue to look elsewhere: at the global queue once
// in so many tasks, and, where there is a poller, at that about as often in time as it should.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "runtime/tick_clock.h"

namespace curg::internal {

// Both are counted in tasks run (Processor::tick), since to read a clock takes as long as some
// switches. In how many tasks kPollLookNs pass, each look at the poller finds out: the next comes
// sooner at once where tasks have run for longer, and at most twice as late where they have not. A
// worker whose tasks are short looks with the global queue, and pays nothing for this.
// Owner only: the worker that has the processor.
class LookPace {
 public:
  // A worker that has run this many tasks looks at the global queue before its own, so that a busy
  // ring cannot starve it. Prime, so as not to fall in step with programs (as Go's).
  static constexpr uint32_t kGlobalPeriod = 61;
  static constexpr int64_t kPollLookNs = 25'000;
  // As good as never: the global queue's turn comes first.
  static constexpr uint32_t kTasksMax = 64;

  // Whether anything is to be looked at before the task of this number runs. Ticks may be left out.
  bool IsDue(uint32_t tick) const { return !IsBefore(tick, next_); }

  // Whether it is the global queue's turn, which is then over.
  bool TakeGlobalTurn(uint32_t tick) {
    if (IsBefore(tick, global_)) return false;
    global_ = next_ = tick + kGlobalPeriod;
    return true;
  }

  // There is a poller, and the worker is about to look whether it is due. `now`: TickClock's.
  void OnPollLook(uint32_t tick, uint64_t now) {
    if (tick != from_tick_) Learn(tick - from_tick_, TickClock::ToNs(now - from_));
    Restart(tick, now);
    next_ = IsBefore(tick + tasks_, global_) ? tick + tasks_ : global_;
  }

  // The worker comes from elsewhere: what passed until now says nothing of its tasks.
  void Restart(uint32_t tick, uint64_t now) {
    from_tick_ = tick;
    from_ = now;
  }

  // How many tasks there are between two looks at the poller.
  uint32_t tasks() const { return tasks_; }

 private:
  static bool IsBefore(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

  // So many tasks have run in so much time.
  void Learn(uint32_t ran, int64_t ns) {
    const int64_t fit = kPollLookNs * ran / std::max<int64_t>(ns, 1);
    if (fit < tasks_) {
      tasks_ = std::bit_floor(static_cast<uint32_t>(std::max<int64_t>(fit, 1)));
    } else if (fit >= 2 * int64_t{tasks_}) {
      tasks_ = std::min(2 * tasks_, kTasksMax);
    }
  }

  uint32_t next_ = kGlobalPeriod;    // when something is due
  uint32_t global_ = kGlobalPeriod;  // when the global queue is
  uint32_t tasks_ = kTasksMax;       // a power of two
  uint32_t from_tick_ = 0;           // since when it learns
  uint64_t from_ = 0;
};

}  // namespace curg::internal
