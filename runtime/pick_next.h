// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: the next task to run, where one is at hand. Inline, as each switch asks for it, on the
// stack of the task that leaves; what comes now and then is in scheduler_find.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/coarse_clock.h"
#include "runtime/scheduler.h"

namespace curg::internal {

// The registers; and if it waited for I/O, which the kernel's work for others has put out of the
// cache, also the frames that it returns through, and what it captured (a connection, mostly).
inline void FetchStack(const Task& task) {
  constexpr size_t kLine = 64;
  constexpr size_t kFrames = 14 * kLine;
  const auto* const hot = static_cast<const char*>(task.context.hot());
  __builtin_prefetch(hot, /*rw=*/1);
  const WaitReason reason = task.wait_reason.load(std::memory_order_relaxed);  // a hint
  if (reason != WaitReason::kIoRead && reason != WaitReason::kIoOperation) return;
  for (size_t at = kLine; at < kFrames; at += kLine) __builtin_prefetch(hot + at, /*rw=*/1);
  for (size_t at = 0; at < sizeof(task.body); at += kLine) {
    __builtin_prefetch(reinterpret_cast<const char*>(&task.body) + at, /*rw=*/1);
  }
}

inline void Scheduler::PushLocal(Processor& processor, Task* task) {
  if (!processor.queue.Push(task)) [[unlikely]]
    PushOverflow(processor, task);
}

inline void Scheduler::ReadyLast(Worker& worker, Task* task) {
  task->since = CoarseClock::Now();
  // release: pairs with RollCall
  task->state.store(TaskState::kRunnable, std::memory_order_release);
  Processor& processor = *worker.processor;
  processor.counters.OnRunnable(*task);
  PushLocal(processor, task);
}

inline bool Scheduler::HasLocalWork(const Processor& processor) {
  return processor.batch.next() != nullptr || processor.queue.size() > 0 ||
         !processor.batch.Empty();
}

// What comes after the next `ahead` ones, or null: a hint.
inline Task* Scheduler::PeekRing(const Processor& processor, uint32_t ahead) {
  const uint32_t in_batch = processor.batch.Size();
  return ahead < in_batch ? processor.batch.Peek(ahead) : processor.queue.Peek(ahead - in_batch);
}

// The ring, through the batch. What comes after is fetched ahead: the record two tasks before it
// runs, the stack one before.
inline Task* Scheduler::PopRing(Processor& processor) {
  Task* const task = processor.batch.Pop();
  if (task == nullptr) return PopBatch(processor);
  if (const Task* next = PeekRing(processor, 0)) FetchStack(*next);
  if (const Task* next = PeekRing(processor, 1)) __builtin_prefetch(next);
  return task;
}

inline Task* Scheduler::PopLocal(Processor& processor) {
  if (config_.schedule_seed != 0) [[unlikely]]
    return PopShuffled(processor);
  if (processor.batch.next() != nullptr &&
      (processor.next_streak < kNextStreakMax ||
       (processor.queue.size() == 0 && processor.batch.Empty()))) {
    if (Task* task = processor.batch.ExchangeNext(nullptr)) {
      ++processor.next_streak;
      return task;
    }
  }
  processor.next_streak = 0;
  if (Task* task = PopRing(processor)) return task;
  return processor.batch.next() != nullptr ? processor.batch.ExchangeNext(nullptr) : nullptr;
}

inline bool Scheduler::TimersAreDue(const Processor& processor, uint32_t tick) {
  return tick % kTimerPeriod == 0 && processor.timers.Earliest() != TimerQueue::kNever;
}

// Whether something is due that comes now and then, and is left to FindRunnable.
inline bool Scheduler::IsAnythingDue(const Processor& processor, uint32_t tick) const {
  return processor.pace.IsDue(tick) || TimersAreDue(processor, tick) || processor.surplus ||
         processor.held.load(std::memory_order_relaxed) ||
         stopping_.load(std::memory_order_relaxed);
}

// Took a task without having spun; what this worker put into its queue without waking anybody may
// be left.
inline void Scheduler::WakeForRest(const Processor& processor) {
  if (idle_count_.load(std::memory_order_seq_cst) > 0 && HasLocalWork(processor)) [[unlikely]]
    WakeOne();
}

// As the first half of FindRunnable, for a task that leaves its stack.
inline Task* Scheduler::PickNext(Worker& worker) {
  Processor& processor = *worker.processor;
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed) + 1;
  if (IsAnythingDue(processor, tick)) [[unlikely]]
    return nullptr;
  Task* const task = PopLocal(processor);
  if (task == nullptr) return nullptr;
  processor.tick.store(tick, std::memory_order_relaxed);  // relaxed: a hint for thieves
  WakeForRest(processor);
  return task;
}

}  // namespace curg::internal
