// SPDX-License-Identifier: Apache-2.0
//
// CpuPlacement: keeps a thread that is woken off its waker's CPU, where the kernel does not.
//
// A virtual CPU that has halted for a while looks to the guest's kernel as if the host had
// preempted it. So Linux finds no idle CPU for a thread that is woken, is likely to queue it behind
// its waker, and from then on does so each time, as both have last run there: a task woken by one
// that works on for 500 us waits 500 us beside idle CPUs. So the waker forbids the sleeper its own
// CPU, for this one time (a microsecond or two; starting a halted CPU takes 20 to 40). On bare
// metal the kernel finds the idle CPUs, and nothing is done.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstdint>

#include "runtime/tick_clock.h"

namespace curg::internal {

// Of one thread. Owner only, but for what it says of the waker.
class CpuPlacement {
 public:
  // Before the thread sleeps.
  void NoteSleep() {
    if (!Needed()) return;
    cpu_ = sched_getcpu();
    since_ = TickClock::Now();
  }

  // The caller's CPU, or -1 where the kernel needs no help. For a waker.
  static int Here() { return Needed() ? sched_getcpu() : -1; }

  // Whether the thread is likely to be queued behind its waker on the CPU `here`. The waker, who
  // has seen it asleep.
  bool IsBehind(int here) const;

  // Forbids the thread `tid` the CPU `here`, unless it has no other, until Settle. The waker.
  void Avoid(int here, pid_t tid);

  // After the thread was woken: allows it again what it was allowed before.
  void Settle() {
    if (restricted_) [[unlikely]]
      Restore();
  }

 private:
  static bool Needed();
  void Restore();

  // Where and when the thread fell asleep; published with the news that it sleeps.
  int cpu_ = -1;
  uint64_t since_ = 0;
  // What the waker did; published by the wake-up.
  bool restricted_ = false;
  cpu_set_t before_;
};

}  // namespace curg::internal
