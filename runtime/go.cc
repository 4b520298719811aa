// SPDX-License-Identifier: Apache-2.0
#include "runtime/go.h"

#include <sched.h>

#include <thread>

#include "runtime/claim_waiter.h"
#include "runtime/park.h"
#include "runtime/scheduler.h"
#include "runtime/sleep_clock.h"
#include "runtime/switch_away.h"
#include "runtime/task.h"
#include "runtime/wait_limits.h"
#include "runtime/worker.h"

namespace curg {
namespace {

using internal::Task;

[[gnu::noinline]] void SleepThread(std::chrono::nanoseconds duration) {
  std::this_thread::sleep_for(duration);
}

int64_t EndOfSleep(std::chrono::nanoseconds duration) {
  int64_t when;
  const bool overflow =
      __builtin_add_overflow(internal::SleepClock::Now(), duration.count(), &when);
  return overflow ? Deadline::Never().nanoseconds() : when;
}

// Inlined into what the program calls, and no jump: a sleeping task's stack is to show that.
inline void SleepUntilMonotonic(Task* task, int64_t when) {
  internal::Park(internal::WaitReason::kSleep, internal::SleepObject(when),
                 &internal::Scheduler::CommitSleep, task);
  asm volatile("");
}

}  // namespace

[[gnu::flatten]] CURG_NO_TSAN void Yield() {
  const internal::ThreadState& thread = internal::ThisThread();  // relaxed, all three: see there
  internal::Worker* const worker = thread.worker.load(std::memory_order_relaxed);
  Task* const task = thread.current.load(std::memory_order_relaxed);
  const bool parks = worker != nullptr && task != nullptr &&
                     thread.called.load(std::memory_order_relaxed) == nullptr;
  if (!parks) {
    sched_yield();
  } else if (!worker->Yield(*task)) {
    // A slice ends, although nobody else begins one: sysmon must not take the worker for held.
    std::atomic<uint32_t>& tick = worker->processor->tick;
    tick.store(tick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

void SleepFor(std::chrono::nanoseconds duration) {
  Task* const task = internal::TaskToPark();
  if (task == nullptr) return SleepThread(duration);
  if (duration <= std::chrono::nanoseconds::zero()) return Yield();
  SleepUntilMonotonic(task, EndOfSleep(duration));
}

void SleepUntil(Deadline deadline) {
  Task* const task = internal::TaskToPark();
  if (task == nullptr) {
    internal::ClaimWaiter nobody;
    nobody.Wait(internal::WaitReason::kSleep, nullptr, deadline.nanoseconds());
    return;
  }
  if (deadline.nanoseconds() <= internal::MonotonicNow()) return Yield();
  SleepUntilMonotonic(task, deadline.nanoseconds());
}

bool SleepUntil(Deadline deadline, const std::stop_token& stop) {
  if (stop.stop_requested()) return false;
  internal::ClaimWaiter waiter;
  const internal::WaitLimits limits = {deadline, &stop};
  const WaitStatus status =
      internal::WaitClaimed(waiter, limits, internal::WaitReason::kSleep, nullptr);
  return status == WaitStatus::kTimeout;
}

bool SleepFor(std::chrono::nanoseconds duration, const std::stop_token& stop) {
  return SleepUntil(Deadline::After(duration), stop);
}

uint64_t CurrentTaskId() {
  const Task* const task = internal::CurrentTask();
  return task != nullptr ? task->id : 0;
}

std::string_view CurrentTaskName() {
  const Task* const task = internal::CurrentTask();
  return task != nullptr ? task->name() : std::string_view();
}

}  // namespace curg
