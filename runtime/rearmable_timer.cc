// SPDX-License-Identifier: Apache-2.0
#include "runtime/rearmable_timer.h"

#include <sched.h>

#include <mutex>
#include <utility>

#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg::internal {

RearmableTimer::RearmableTimer(Scheduler* scheduler) : scheduler_(scheduler) { fire = &Fire; }

Scheduler* RearmableTimer::CallersScheduler() {
  const Task* const task = CurrentTask();
  return task != nullptr ? task->scheduler : &Scheduler::Service();
}

void RearmableTimer::Arm(int64_t when) {
  armed_ = true;
  this->when = when;
  scheduler_->AddTimer(this);
}

bool RearmableTimer::Disarm() {
  if (!std::exchange(armed_, false)) return false;
  if (!TimerQueue::Cancel(this)) ++stale_;
  return true;
}

void RearmableTimer::Fire(Timer* timer) {
  auto* self = static_cast<RearmableTimer*>(timer);
  self->lock_.lock();
  if (self->stale_ > 0) {
    --self->stale_;
  } else {
    self->armed_ = false;
    self->OnDue(MonotonicNow());
  }
  const bool last = self->abandoned_ && !self->armed_ && self->stale_ == 0;
  self->lock_.unlock();  // *self may be gone now, unless abandoned
  if (last) delete self;
}

void RearmableTimer::StopAndWait() {
  std::unique_lock lock(lock_);
  Disarm();
  while (stale_ > 0) {  // a worker is between its queue and Fire's first line
    lock.unlock();
    sched_yield();
    lock.lock();
  }
}

void RearmableTimer::Abandon() {
  lock_.lock();
  abandoned_ = true;
  const bool last = !armed_ && stale_ == 0;
  lock_.unlock();
  if (last) delete this;
}

}  // namespace curg::internal
