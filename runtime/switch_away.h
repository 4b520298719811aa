// SPDX-License-Identifier: Apache-2.0
//
// Worker: from the stack of the task that leaves to that of the next one. Inline, for those few
// that leave: what a switch takes is mostly what is done around it.
#pragma once

#include <atomic>
#include <utility>

#include "runtime/coarse_clock.h"
#include "runtime/context.h"
#include "runtime/cpu_meter.h"
#include "runtime/pick_next.h"
#include "runtime/roll_call.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"
#include "runtime/worker.h"

namespace curg::internal {

// Makes `task` the one to switch to.
[[gnu::always_inline]] inline void Worker::Prepare(Task& task, bool begins) {
  task.since = CoarseClock::Now();
  task.state.store(TaskState::kRunning, std::memory_order_release);  // release: pairs with
                                                                     // SliceWatch
  RollCall::BeforeResume(task);
  if (begins) Begin(task);
  processor->counters.OnRunning(task);
}

// Makes `next`, or the scheduler's loop, what runs after `task`; returns what to switch to.
// The order of stores is for a handler on this thread, which takes the stack pointer for true:
// while it is not on the current task's stack, there is a switch going on (WhereAmI).
[[gnu::always_inline]] inline Context& Worker::LeaveFor(Task& task, Task* next) {
  task.exceptions = *exceptions;
  const bool begins = next != nullptr && !next->HasBegun();
  if (begins && scheduler.BeginsCold(*processor, *next)) cold = std::exchange(next, nullptr);
  if (next == nullptr) {
    if (CpuMeter::On()) [[unlikely]]
      thread->meter->Leave(task);
    *exceptions = {};
    return system;
  }
  if (CpuMeter::On()) [[unlikely]]
    thread->meter->Switch(task, *next);
  Prepare(*next, begins);
  *exceptions = next->exceptions;
  thread->left.store(&task, std::memory_order_relaxed);  // relaxed, both: see ThreadState
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread->current.store(next, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return next->context;
}

inline void Worker::FinishSwitch() {
  const AfterSwitch after = after_switch;
  if (after.task == nullptr) return;
  after_switch.task = nullptr;
  if (after.commit == nullptr) {
    scheduler.ReadyLast(*this, after.task);
  } else if (!after.commit(after.arg)) {
    scheduler.Ready(after.task);
  }
}

[[gnu::always_inline]] CURG_NO_TSAN inline void Worker::SwitchTo(Task* next, Task& task,
                                                                 bool (*commit)(void* arg),
                                                                 void* arg) {
  after_switch = {.commit = commit, .arg = arg, .task = &task};
  Context& to = LeaveFor(task, next);
  void* const resumer = Context::Switch(task.context, to, this);
  static_cast<Worker*>(resumer)->FinishSwitch();  // another worker than this, perhaps
}

[[gnu::always_inline]] CURG_NO_TSAN inline void Worker::SwitchAway(Task& task,
                                                                   bool (*commit)(void* arg),
                                                                   void* arg) {
  SwitchTo(scheduler.PickNext(*this), task, commit, arg);
}

[[gnu::always_inline]] CURG_NO_TSAN inline bool Worker::Yield(Task& task) {
  Task* const next = scheduler.PickNext(*this);
  if (next == nullptr && !scheduler.HasWorkFor(*this)) return false;
  task.wait_reason.store(WaitReason::kNone, std::memory_order_relaxed);
  SwitchTo(next, task, /*commit=*/nullptr, /*arg=*/nullptr);
  return true;
}

}  // namespace curg::internal
