// SPDX-License-Identifier: Apache-2.0
//
// RollCall: every task alive at one instant, the announcement, answers exactly once, while tasks go
// on spawning, switching and ending. What a dump (roll_caller.h) asks of those who run tasks.
//
//   caller                                   worker that resumes `task`       spawner
//   word_ = epoch | kOpen                    task.state = kRunning            task.roll = its epoch
//   HeavyFence                               LightFence                       task.state = kNew...
//   task suspended? read all there is to it  word_ & kOpen? Answer(task)
//   task.roll: other -> epoch, by caller
//
// Invariant  whoever changes task.roll to the epoch has the task's one record; everybody else
//            throws away what he has read. A task whose roll is the epoch already was born later,
//            or has answered.
// Order      by the fence either the caller sees that the task runs, or the resumer sees the call
//            and answers first. So a caller that still gets the roll has read a task that nobody
//            had resumed. A task is born when its spawner reads word_; it has ended when its worker
//            has, in BeforeEnd.
// No waiting a worker answers for the task it resumes, or finds that it has answered; it never
// waits for the caller,
//            however long that one takes between reading and claiming.
// Tags       a task's tag stays alive until the task changes it or ends. Whoever changes it during
//            a call, and whoever resumes or ends a task that the caller has claimed, takes a
//            reference on the caller's behalf first (a pin), which lasts until the call ends. So
//            what the caller read before its claim it may use.
// Memory     task records and, under StacksLock(), stacks stay mapped; a late reader reads nonsense
//            at worst, inside of a stack, and loses the claim.
// Rejected   locking the task while it is read (a caller that loses its CPU would stall it); a list
//            of all tasks (a lock at each spawn); stopping the world.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "runtime/asymmetric_fence.h"
#include "runtime/task.h"
#include "runtime/task_sighting.h"

namespace curg::internal {

// A record made by a worker, for the caller to take. One block of memory, name and stack at its
// end.
struct RollAnswer {
  RollAnswer* next = nullptr;
  TaskSighting seen;  // its tag with a reference
};

class RollCall {
 public:
  // --- For those who run tasks. All: blocks nothing; a load and a compiler barrier while nobody
  // calls.

  // After `task` was marked as running, before anything else of it changes. Owner only: its worker.
  static void BeforeResume(Task& task) {
    LightFence();
    if (IsAttentive()) [[unlikely]]
      AnswerFor(task, TaskState::kRunnable);
  }
  // As BeforeResume, of a task that leaves Blocking.
  static void BeforeLeavingBlocking(Task& task) {
    LightFence();
    if (IsAttentive()) [[unlikely]]
      AnswerFor(task, TaskState::kBlocking);
  }
  // Before anything of a task that has left its stack for good is given up.
  static void BeforeEnd(Task& task) {
    LightFence();
    if (IsAttentive()) [[unlikely]]
      AnswerFor(task, TaskState::kRunning);
  }

  // After the current task's tag was replaced, before `old` is given up: others may be about to use
  // it.
  static void BeforeTagDrop(const Tag* old) {
    LightFence();
    if (IsAttentive()) [[unlikely]]
      KeepTag(old);
  }

  // What the roll of a task says that is born now.
  static uint32_t BornNow() {
    const uint32_t word = word_.load(std::memory_order_relaxed);
    // without the asymmetric fence: the births before this one are seen before it
    if ((word & kFenced) != 0) [[unlikely]]
      std::atomic_thread_fence(std::memory_order_seq_cst);
    return RollOf(word);
  }

  // Claims the answer of a task for whoever runs it. Async-signal-safe.
  // Always inlined: a handler must not be instrumented by the thread sanitizer.
  [[gnu::always_inline]] static bool Claim(Task& task, uint32_t epoch) {
    uint32_t roll = task.roll.load(std::memory_order_relaxed);
    // acq_rel: the one who is second comes after the first; nothing of the task is changed before
    return roll >> 1 != epoch &&
           task.roll.compare_exchange_strong(roll, epoch << 1, std::memory_order_acq_rel);
  }

  // Whether a running thread may be asked by signal (slice_probe.h) about now. After a full fence,
  // which came after the thread was shown to be one that must not be asked.
  static bool MaySignal() {
    return IsAttentive() || signallers_.load(std::memory_order_relaxed) != 0;  // relaxed: see above
  }
  // Around a question outside of calls; before the look whether the thread may be asked. A full
  // fence.
  static void BeginSignalling() { signallers_.fetch_add(1, std::memory_order_seq_cst); }
  static void EndSignalling() { signallers_.fetch_sub(1, std::memory_order_relaxed); }

  // --- For the caller, with StacksLock() held.

  // Held while stacks are walked: no runtime ends, and takes its stacks along, meanwhile.
  static std::mutex& StacksLock();

  // Announces a call. Returns its epoch. Blocks: the thread, some microseconds.
  static uint32_t Open();
  static bool HasAnswered(const Task& task, uint32_t epoch) {
    return task.roll.load(std::memory_order_relaxed) >> 1 == epoch;  // relaxed: a claim will tell
  }
  // Claims for the caller, after reading: true says that nobody has resumed the task before.
  static bool ClaimByCaller(Task& task, uint32_t epoch);
  // What workers have answered since the last time, a list; freed by FreeAnswers.
  static RollAnswer* TakeAnswers();
  static void FreeAnswers(RollAnswer* answers);
  // Ends the call; afterwards no worker is in the middle of an answer. Blocks: the thread, for as
  // long as that takes.
  static void Close();
  // Gives back the tags that were kept for the caller. Last.
  static void Unpin();
  // Answers for which there was no memory, ever.
  static uint64_t lost();

 private:
  static constexpr uint32_t kOpen = 1;
  static constexpr uint32_t kFenced = 2;  // always set where the kernel refuses the asymmetric
                                          // fence
  static constexpr uint32_t kAttention = kOpen | kFenced;
  static constexpr int kEpochShift = 2;
  static constexpr uint32_t kByCaller = 1;  // in a task's roll, below the epoch

  static uint32_t RollOf(uint32_t word) { return word >> kEpochShift << 1; }
  static bool IsAttentive() {
    // relaxed: ordered by the fences
    return (word_.load(std::memory_order_relaxed) & kAttention) != 0;
  }
  // `state` is what the answer says.
  static void AnswerFor(Task& task, TaskState state);
  static void AnswerCall(Task& task, TaskState state, uint32_t epoch);
  static void KeepTag(const Tag* tag);
  static void Pin(const Tag* tag);
  static void Record(const Task& task, TaskState state);

  static std::atomic<uint32_t> word_;
  static std::atomic<uint32_t> signallers_;
};

}  // namespace curg::internal
