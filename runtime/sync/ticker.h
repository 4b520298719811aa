// SPDX-License-Identifier: Apache-2.0
//
// Ticker and Alarm: timers that tell on a channel, to be waited for together with other things.
//
//   curg::Ticker ticker(100ms);
//   curg::Alarm timeout(5s);
//   while (busy) {
//     curg::Select(curg::OnReceive(ticker.ticks(), [&](auto) { PrintProgress(); }),
//                  curg::OnReceive(results, [&](auto result) { timeout.Reset(5s); ... }),
//                  curg::OnReceive(timeout.channel(), [&](auto) { busy = false; }));
//   }
//
// For a single wait, SleepFor, OnTimeout and the Until forms cost less. For a task that starts
// later: runtime/delayed_task.h.
#pragma once

#include <chrono>
#include <cstdint>

#include "runtime/deadline.h"
#include "runtime/rearmable_timer.h"
#include "runtime/sync/channel.h"

namespace curg {

// When a timer fired, which is at or after the moment it was set to.
using Tick = std::chrono::steady_clock::time_point;

namespace internal {

class TickTimer final : public RearmableTimer {
 public:
  TickTimer() : RearmableTimer(CallersScheduler()) {}
  ~TickTimer() override { StopAndWait(); }

  // Sets it anew: to fire at `when`, then, if `period` is not 0, each `period` after that. Takes
  // back what was not received; true if there was something to take back, or it was still to fire.
  bool Set(int64_t when, int64_t period);
  bool Stop();
  bool pending();
  Channel<Tick>& channel() { return channel_; }

 private:
  void OnDue(int64_t now) override;
  bool TakeBack();  // with lock() held

  int64_t period_ = 0;  // guarded by lock()
  Channel<Tick> channel_{1};
};

}  // namespace internal

// Ticks until it is stopped or destroyed. A tick that comes while the last one has not been
// received is left out: a slow receiver finds one tick, not many. Ticks stay in step with the first
// one however late they are.
//
// Must not outlive the runtime of the task that made it; one made on a plain thread (its ticks come
// from the service worker) may. Ticks come in time even if all workers are held, but for some 10
// ms.
// Thread-safe. From tasks and plain threads. Not async-signal-safe. Blocks: nothing.
class Ticker {
 public:
  // Throws std::invalid_argument, naming the caller, when `period` is not positive.
  explicit Ticker(std::chrono::nanoseconds period) { Reset(period); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // Of capacity 1; to receive from only. Never closed.
  Channel<Tick>& ticks() { return timer_.channel(); }

  // No tick is received any more after this, but by who is receiving one already.
  void Stop() { timer_.Stop(); }

  // Ticks each `period` from now on, stopped or not; none from before is received. Throws as the
  // constructor does, and changes nothing then.
  void Reset(std::chrono::nanoseconds period);

 private:
  internal::TickTimer timer_;
};

// Fires once, each time that it is set. Contracts as for Ticker.
class Alarm {
 public:
  Alarm() = default;  // not set
  explicit Alarm(std::chrono::nanoseconds delay) { Reset(delay); }
  explicit Alarm(Deadline when) { ResetAt(when); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  // Of capacity 1; to receive from only. Never closed.
  Channel<Tick>& channel() { return timer_.channel(); }

  // Unsets it. True: it would have fired, or had, but nobody has received it; now nobody will.
  // False: it was not set, or had been received.
  bool Cancel() { return timer_.Stop(); }

  // Sets it, if need be anew; nothing from before is received. Result as for Cancel.
  bool Reset(std::chrono::nanoseconds delay) { return ResetAt(Deadline::After(delay)); }
  bool ResetAt(Deadline when) { return timer_.Set(when.nanoseconds(), 0); }

  // Whether it is set and has not fired. Out of date at once.
  bool pending() { return timer_.pending(); }

 private:
  internal::TickTimer timer_;
};

}  // namespace curg
