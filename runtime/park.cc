// SPDX-License-Identifier: Apache-2.0
#include "runtime/park.h"

#include "runtime/check.h"
#include "runtime/futex.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/timers.h"
#include "runtime/worker.h"

namespace curg::internal {
namespace {

bool Unlock(void* arg) {
  static_cast<SpinLock*>(arg)->unlock();
  return true;
}

// The deadline of one wait.
struct Timeout : Timer {
  Waiter* waiter;
  bool expired = false;             // written before Wake, which orders it
  std::atomic<bool> missed{false};  // fire has run and found somebody else's claim

  static void Fire(Timer* timer) {
    auto* self = static_cast<Timeout*>(timer);
    if (self->waiter->TryClaim()) {
      self->expired = true;
      self->waiter->Wake();  // *self may be gone now
    } else {
      self->missed.store(true, std::memory_order_release);  // release: pairs with Disarm()
    }
  }

  // After another's claim: takes the timer back, or waits out the few instructions of its Fire.
  void Disarm() {
    if (TimerQueue::Cancel(this)) return;
    while (!missed.load(std::memory_order_acquire)) sched_yield();  // acquire: pairs with Fire()
  }
};

struct TimedWait {
  SpinLock* lock;
  Timeout* timeout;
  Scheduler* scheduler;
};

// Arms first: as soon as the lock is free a waker may come, and the task run again and want its timer
// back. The timer may fire at once, too; then the task waits for the lock before it can go far, since it
// must take itself out of the object. So the unlocking is the last touch of anything of the task's.
bool ArmAndUnlock(void* arg) {
  const TimedWait wait = *static_cast<TimedWait*>(arg);
  wait.scheduler->AddTimer(wait.timeout);
  wait.lock->unlock();
  return true;
}

}  // namespace

void Park(WaitReason reason, const void* object, bool (*commit)(void* arg), void* arg) {
  Task* const task = CurrentTask();
  CURG_CHECK(task != nullptr, "park on a task; a plain thread waits through Waiter");
  task->wait_reason = reason;
  task->wait_object = object;
  task->state.store(TaskState::kParked, std::memory_order_relaxed);  // relaxed: a hint
  Worker* const worker = CurrentWorker();
  worker->after_switch = {.commit = commit, .arg = arg};
  Context::Switch(task->context, worker->system);
}

void Unpark(Task* task) { task->scheduler->Ready(task); }

Waiter::Waiter() : task_(CurrentTask()) {}

void Waiter::WaitIf(WaitReason reason, const void* object, bool (*commit)(void* arg), void* arg) {
  if (task_ != nullptr) return Park(reason, object, commit, arg);
  if (!commit(arg)) return;
  // acquire: pairs with the release in Wake()
  while (woken_.load(std::memory_order_acquire) == 0) FutexWait(woken_, 0);
}

void Waiter::Wait(WaitReason reason, const void* object, SpinLock& lock) {
  WaitIf(reason, object, &Unlock, &lock);
}

bool Waiter::WaitUntil(WaitReason reason, const void* object, SpinLock& lock, Deadline deadline) {
  const int64_t when =
      std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  if (task_ == nullptr) {
    lock.unlock();
    return WaitThreadUntil(when);
  }
  Timeout timeout;
  timeout.fire = &Timeout::Fire;
  timeout.when = when;
  timeout.waiter = this;
  TimedWait wait = {.lock = &lock, .timeout = &timeout, .scheduler = task_->scheduler};
  Park(reason, object, &ArmAndUnlock, &wait);
  if (timeout.expired) return false;
  timeout.Disarm();
  return true;
}

bool Waiter::WaitThreadUntil(int64_t deadline) {
  // acquire: pairs with the release in Wake()
  while (woken_.load(std::memory_order_acquire) == 0) {
    if (FutexWait(woken_, 0, deadline)) continue;
    if (TryClaim()) return false;
    deadline = TimerQueue::kNever;  // somebody claimed: the wake-up is on its way
  }
  return true;
}

void Waiter::Wake() {
  if (task_ != nullptr) return Unpark(task_);
  woken_.store(1, std::memory_order_release);  // release: pairs with the acquire loads above
  FutexWake(woken_);
}

}  // namespace curg::internal
