// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/ticker.h"

#include <mutex>
#include <stdexcept>

#include "runtime/caller.h"

namespace curg {
namespace internal {

// The channel's own lock is taken inside lock(), never the other way round: whoever uses the
// channel does not know of the timer.
void TickTimer::OnDue(int64_t now) {
  (void)channel_.TrySend(Tick(std::chrono::nanoseconds(now)));  // full: the last one will do
  if (period_ == 0) return;
  const int64_t late = now - due();
  int64_t next;
  if (__builtin_add_overflow(now - late % period_, period_, &next)) return;  // in centuries
  Arm(next);
}

bool TickTimer::TakeBack() { return channel_.TryReceive().status == WaitStatus::kOk; }

bool TickTimer::Set(int64_t when, int64_t period) {
  std::lock_guard guard(lock());
  const bool was_armed = Disarm();
  const bool unseen = TakeBack();
  period_ = period;
  Arm(when);
  return was_armed || unseen;
}

bool TickTimer::Stop() {
  std::lock_guard guard(lock());
  const bool was_armed = Disarm();
  return TakeBack() || was_armed;
}

bool TickTimer::pending() {
  std::lock_guard guard(lock());
  return armed();
}

}  // namespace internal

void Ticker::Reset(std::chrono::nanoseconds period) {
  if (period <= std::chrono::nanoseconds::zero()) {
    throw std::invalid_argument("curg: " + internal::CallerName() +
                                ": gives a Ticker a period that is not positive");
  }
  timer_.Set(Deadline::After(period).nanoseconds(), period.count());
}

}  // namespace curg
