// SPDX-License-Identifier: Apache-2.0
//
// Park and Unpark: the one way in which anything in the runtime waits.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/spin_lock.h"
#include "runtime/thread_state.h"
#include "runtime/wait_reason.h"

namespace curg::internal {

class Task;

// Parks the current task: switches away from its stack; whoever runs next on this worker, another
// task or the scheduler, first runs `commit(arg)`. From then on anyone may Unpark it, commit itself
// included. If commit returns false, the task does not park but goes on soon. Returns when
// unparked.
// Requires: TaskToPark(). Inside OnSystemStack it aborts, naming the task. Blocks: the task.
void Park(WaitReason reason, const void* object, bool (*commit)(void* arg), void* arg);

// Makes a parked task runnable. Exactly one Unpark a Park. On a worker of the task's scheduler the
// task runs next there; elsewhere it goes to the global queue.
// Thread-safe. Not async-signal-safe. Blocks: nothing.
void Unpark(Task* task);

// The usual commit: releases the SpinLock `lock`.
inline bool UnlockAndPark(void* lock) {
  static_cast<SpinLock*>(lock)->unlock();
  return true;
}

// How many plain threads wait in Waiter or ClaimWaiter without a deadline: they run again only once
// somebody wakes them, who takes them off the count before. Thread-safe.
int PlainWaiters();
void AddPlainWaiters(int count);

// Somebody who waits for one wake-up: a task, or a plain thread, which then sleeps on a futex.
// Lives on the waiter's own stack; waiting allocates nothing.
//
// Protocol. The waiter puts itself where wakers find it under the lock of the object waited for,
// then calls Wait with that lock held. A waker takes it out under the same lock and calls Wake,
// once; after that the Waiter may be gone. Where several may want to wake it (a select, a deadline,
// a cancellation), use ClaimWaiter (claim_waiter.h).
class Waiter {
 public:
  // For the current task, or the calling plain thread.
  Waiter() : task_(TaskToPark()) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Runs `commit(arg)` once asleep; if it returns true, sleeps until woken, else goes on at once.
  // commit runs on somebody else's stack; it must not park, and may Wake this Waiter.
  // Owner only: whoever made the Waiter. Blocks: the task or the plain thread.
  void WaitIf(WaitReason reason, const void* object, bool (*commit)(void* arg), void* arg) {
    return task_ != nullptr ? Park(reason, object, commit, arg) : WaitThread(commit, arg);
  }

  // Releases `lock` once asleep, and returns, without the lock, when woken.
  void Wait(WaitReason reason, const void* object, SpinLock& lock) {
    WaitIf(reason, object, &UnlockAndPark, &lock);
  }

  // Thread-safe; once. The Waiter may be gone when this returns. Blocks: nothing.
  void Wake() { return task_ != nullptr ? Unpark(task_) : WakeThread(); }

  // The task that waits, or null for a plain thread.
  Task* task() const { return task_; }

 private:
  void WaitThread(bool (*commit)(void* arg), void* arg);
  void WakeThread();

  Task* const task_;
  std::atomic<uint32_t> woken_{0};  // the plain thread's futex: 0 asleep, 1 woken
};

}  // namespace curg::internal
