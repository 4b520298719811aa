// SPDX-License-Identifier: Apache-2.0
#include "runtime/claim_waiter.h"

#ifndef CURG_MODEL_PARK

#include <sched.h>

#include "runtime/fork_guard.h"
#include "runtime/futex.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/timers.h"

namespace curg::internal {
namespace {

using ClaimFlag = std::atomic<bool>;

void AddTimer(Task* task, Timer* timer) { task->scheduler->AddTimer(timer); }

void YieldThread() { sched_yield(); }

}  // namespace
}  // namespace curg::internal

#endif

namespace curg::internal {

// Claims its waiter when due. On the waiter's stack: see `finished`.
struct ClaimWaiter::DeadlineTimer : Timer {
  explicit DeadlineTimer(ClaimWaiter* waiter) : waiter(waiter) { fire = &Fire; }

  static void Fire(Timer* timer) {
    auto* self = static_cast<DeadlineTimer*>(timer);
    ClaimWaiter* const waiter = self->waiter;
    if (!waiter->TryClaim()) {
      self->finished.store(true, std::memory_order_release);  // release: pairs with Disarm()
      return;                                                 // both may be gone
    }
    waiter->timed_out_ = true;
    waiter->Wake();
  }

  // For a waiter that somebody else woke: returns when Fire will not touch this memory any more.
  void Disarm() {
    if (TimerQueue::Cancel(this)) return;
    // Popped by a worker that is between the queue and the line above: a few instructions.
    while (!finished.load(std::memory_order_acquire)) YieldThread();  // acquire: pairs with Fire()
  }

  ClaimWaiter* const waiter;
  ClaimFlag finished{false};
};

ClaimWaiter::ClaimWaiter() : task_(TaskToPark()) {}

void ClaimWaiter::Wake() {
  Task* const task = task_;  // *this may be gone after the next line, unless a task sleeps
  // acq_rel: release pairs with the acquires in Wait; acquire with the release in CommitSleep
  const uint32_t state = state_.fetch_or(kWoken, std::memory_order_acq_rel);
  if ((state & kAsleep) == 0) return;
  if ((state & kForever) != 0) AddPlainWaiters(-1);
  if (task != nullptr) {
    Unpark(task);
  } else {
    FutexWake(state_);
  }
}

bool ClaimWaiter::CommitSleep(void* self) {
  auto* waiter = static_cast<ClaimWaiter*>(self);
  // acq_rel: release hands the saved context to Wake, acquire takes what Wake delivered
  return (waiter->state_.fetch_or(kAsleep, std::memory_order_acq_rel) & kWoken) == 0;
}

void ClaimWaiter::Sleep(WaitReason reason, const void* object) {
  // acquire: pairs with the release in Wake
  if ((state_.load(std::memory_order_acquire) & kWoken) != 0) return;
  Park(reason, object, &CommitSleep, this);
}

bool ClaimWaiter::Wait(WaitReason reason, const void* object, int64_t deadline) {
  if (task_ == nullptr) return WaitThread(deadline);
  if (deadline == TimerQueue::kNever) {
    Sleep(reason, object);
    return true;
  }
  DeadlineTimer timer(this);
  timer.when = deadline;
  AddTimer(task_, &timer);
  Sleep(reason, reason == WaitReason::kSleep ? SleepObject(deadline) : object);
  if (timed_out_) return false;  // fired: done with the timer
  timer.Disarm();
  return true;
}

bool ClaimWaiter::WaitThread(int64_t deadline) {
  // acquire: pairs with the release in Wake
  const bool forever = deadline == TimerQueue::kNever;
  const uint32_t sleeping = forever ? kAsleep | kForever : kAsleep;
  if (forever && InForkedChild()) [[unlikely]]
    FatalInForkedChild("waits for another thread or task");
  if (forever) AddPlainWaiters(1);
  uint32_t state = state_.fetch_or(sleeping, std::memory_order_acquire) | sleeping;
  if (forever && (state & kWoken) != 0) AddPlainWaiters(-1);  // the waker saw none
  while ((state & kWoken) == 0) {
    if (!FutexWait(state_, state, deadline)) {
      if (TryClaim()) return false;
      deadline = TimerQueue::kNever;  // somebody is about to wake us, and relies on our being here
    }
    state = state_.load(std::memory_order_acquire);  // acquire: as above
  }
  return true;
}

}  // namespace curg::internal
