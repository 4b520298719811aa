// SPDX-License-Identifier: Apache-2.0
//
// RearmableTimer: a timer that may be stopped and set again at any time, whoever fires it just
// then.
//
// Invariant  Under lock_: armed_ says that one call of Fire is to count; stale_ is how many calls
//            are still to come that do not: their timer was stopped after a worker had taken it out
//            of its queue. The next stale_ calls of Fire are those, or change places with one that
//            counts and is due as well. Setting the timer again before such a call has come is
//            allowed: of a Timer that it took out, a queue only reads `fire`.
// Lifetime   The unlock is Fire's last access, unless nobody owns the timer any more: then it
//            deletes it.
#pragma once

#include <cstdint>

#include "runtime/spin_lock.h"
#include "runtime/timers.h"

namespace curg::internal {

class Scheduler;

// Thread-safe. From tasks and plain threads.
class RearmableTimer : private Timer {
 public:
  // Fires on `scheduler`, which must be there whenever the timer is set or stopped.
  explicit RearmableTimer(Scheduler* scheduler);
  RearmableTimer(const RearmableTimer&) = delete;
  RearmableTimer& operator=(const RearmableTimer&) = delete;

  // The calling task's scheduler; on a plain thread, the service's.
  static Scheduler* CallersScheduler();

 protected:
  // The derived class's destructor has called StopAndWait, unless nobody owns it.
  virtual ~RearmableTimer() = default;

  // On a worker's system stack, or on sysmon's, with lock() held: must not park. May arm it again.
  virtual void OnDue(int64_t now) = 0;

  SpinLock& lock() { return lock_; }

  // All with lock() held.
  void Arm(int64_t when);  // Requires: not armed
  bool Disarm();           // true: it was armed, and will not fire for that
  bool armed() const { return armed_; }
  int64_t due() const { return when; }

  // Disarms, and returns when no worker will touch the timer any more.
  void StopAndWait();

  // Lets it go its way: it is deleted by the last Fire, or here if there is none to come.
  void Abandon();

 private:
  static void Fire(Timer* timer);

  Scheduler* const scheduler_;
  SpinLock lock_;
  // All guarded by lock_.
  bool armed_ = false;
  bool abandoned_ = false;
  int stale_ = 0;
};

}  // namespace curg::internal
