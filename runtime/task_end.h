// SPDX-License-Identifier: Apache-2.0
//
// TaskEnd: the one word in which a task's worker and its handle meet at the task's end.
//
//   from                 to          by
//   0                    a joiner    Join, when it has to wait (joiner.h)
//   a joiner             0           JoinUntil, when it gives up
//   0                    kDetached   Detach, or a dropped handle
//   all but kDetached    kEnding     the worker, when a value or exception is left
//   anything             kDone       the worker, after the stack is given back
//
// Invariant  whoever changes the word second does what is left: the worker wakes the joiner or
//            frees a detached record, the handle takes the value and frees the record. So each
//            change is one read-modify-write, but where nobody else can come in between.
// Ordering   release in each change, acquire in each look by the other side: kDone publishes the
//            result, a joiner the waiter, kDetached the handle's last use of the record.
// Lifetime   after Finish the record is the handle's, and may be another task's.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

namespace curg::internal {

// What it is made of. A test that goes through schedules puts its own in their place.
struct TaskEndPrimitives {
  template <typename T>
  using Atomic = std::atomic<T>;
  static void Pause() { sched_yield(); }
};

template <typename Primitives = TaskEndPrimitives>
class TaskEnd {
 public:
  static constexpr uintptr_t kDone = 1;
  static constexpr uintptr_t kDetached = 2;
  static constexpr uintptr_t kEnding = 3;  // about to be kDone; neither join nor detach now

  // For a new task. Owner only: its spawner.
  void Reset() { word_.store(0, std::memory_order_relaxed); }  // relaxed: published with the task

  // --- For the handle.

  bool HasEnded() const { return word_.load(std::memory_order_acquire) == kDone; }

  // Makes `joiner` the one to wake. False: the task has ended, or somebody else joins it.
  // Blocks: nothing, but for the few instructions between kEnding and kDone.
  bool Join(uintptr_t joiner) {
    uintptr_t end = 0;
    if (word_.compare_exchange_strong(end, joiner, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
      return true;
    }
    AwaitEnding();
    return false;
  }

  // As Join, on the thread that is about to run the task: nobody can end it meanwhile.
  bool JoinBeforeRun(uintptr_t joiner) {
    if (word_.load(std::memory_order_relaxed) != 0) return false;
    word_.store(joiner, std::memory_order_relaxed);  // relaxed: the task's own thread reads it
    return true;
  }

  // Takes `joiner` back. False: the worker has taken it, and is about to come for it.
  bool GiveUp(uintptr_t joiner) {
    // relaxed: nobody reads what we wrote
    return word_.compare_exchange_strong(joiner, 0, std::memory_order_relaxed,
                                         std::memory_order_relaxed);
  }

  // True: the worker will free the record. False: it has ended, and the caller frees it.
  bool Detach() { return Join(kDetached); }

  // --- For the task and its worker.

  bool IsDetached() const { return word_.load(std::memory_order_acquire) == kDetached; }

  // Whoever joins, or 0. A joiner without limits is not changed any more but by the worker.
  uintptr_t Joiner() const {
    const uintptr_t end = word_.load(std::memory_order_acquire);
    return end > kEnding ? end : 0;
  }

  // Before Finish, if there is a value: lets the handle neither join nor detach any more, and takes
  // the joiner, if there is one, to be handed to Finish. False: detached, and nothing has changed.
  bool Begin(uintptr_t* joiner) {
    uintptr_t end = word_.load(std::memory_order_acquire);
    do {
      if (end == kDetached) return false;
    } while (!word_.compare_exchange_strong(end, kEnding, std::memory_order_acq_rel,
                                            std::memory_order_acquire));
    *joiner = end;
    return true;
  }

  // The task has ended. `taken` is the joiner that Begin took. Returns kDetached, the joiner to be
  // woken, or 0: the rest is the handle's.
  uintptr_t Finish(uintptr_t taken) {
    const uintptr_t end = word_.exchange(kDone, std::memory_order_acq_rel);
    return end == kEnding ? taken : end;
  }

  // As Finish, by whoever takes care of Joiner(), one without limits.
  void FinishJoined() { word_.store(kDone, std::memory_order_release); }

 private:
  void AwaitEnding() const {
    while (word_.load(std::memory_order_acquire) == kEnding) Primitives::Pause();
  }

  typename Primitives::template Atomic<uintptr_t> word_{0};
};

}  // namespace curg::internal
