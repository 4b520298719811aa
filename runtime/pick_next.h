// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: the next task to run, where one is at hand. Inline, as each switch asks for it, on the
// stack of the task that leaves; what comes now and then is in scheduler_find.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/coarse_clock.h"
#include "runtime/joiner.h"
#include "runtime/scheduler.h"

namespace curg::internal {

// Fetches what a task that begins to run again after a while will touch. A hint.
void FetchFrames(const Task& task);

// A task's registers and record are fetched ahead; and of one whose stack has long left the cache,
// also the frames that it returns through, and what it captured.
inline void FetchStack(const Task& task) {
  __builtin_prefetch(task.context.hot(), /*rw=*/1);
  if (task.is_cold) FetchFrames(task);
}

inline void Scheduler::PushLocal(Processor& processor, Task* task) {
  if (!processor.queue.Push(task)) [[unlikely]]
    PushOverflow(processor, task);
}

inline void Scheduler::ReadyLast(Worker& worker, Task* task) {
  task->since = CoarseClock::Now();
  task->is_cold = false;
  // release: pairs with RollCall
  task->state.store(TaskState::kRunnable, std::memory_order_release);
  Processor& processor = *worker.processor;
  processor.counters.OnRunnable(*task);
  PushLocal(processor, task);
}

inline bool Scheduler::HasLocalWork(const Processor& processor) {
  return processor.batch.next() != nullptr || processor.HasQueue();
}

// The ring, through the batch.
inline Task* Scheduler::PopRing(Processor& processor) {
  if (Task* task = processor.batch.Pop()) return task;
  return processor.queue.size() > 0 ? PopBatch(processor) : nullptr;
}

inline Task* Scheduler::PopLocal(Processor& processor) {
  if (!batches_) [[unlikely]]
    return PopUnbatched(processor);
  if (processor.batch.next() != nullptr &&
      (processor.next_streak < kNextStreakMax || !processor.HasQueue())) {
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

// If nothing is at hand, what `last_resort()` returns.
template <typename LastResort>
[[gnu::always_inline]] inline Task* Scheduler::PickNextOr(Worker& worker, LastResort last_resort) {
  Processor& processor = *worker.processor;
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed) + 1;
  if (IsAnythingDue(processor, tick)) [[unlikely]]
    return nullptr;
  Task* task = PopLocal(processor);
  if (task == nullptr && (task = last_resort()) == nullptr) return nullptr;
  processor.tick.store(tick, std::memory_order_relaxed);  // relaxed: a hint for thieves
  WakeForRest(processor);
  return task;
}

// As the first half of FindRunnable, for a task that leaves its stack.
inline Task* Scheduler::PickNext(Worker& worker) {
  return PickNextOr(worker, [] { return static_cast<Task*>(nullptr); });
}

// The joiner as if `ending` had made it runnable, and it had been found by the scheduler's loop.
inline Task* Scheduler::PickNextOrJoiner(Worker& worker, const Task& ending, bool* joins) {
  *joins = false;
  return PickNextOr(worker, [&]() -> Task* {
    Task* const joiner = TaskThatJoins(ending.end.Joiner());
    if (joiner == nullptr || joiner->scheduler != this) return nullptr;
    worker.processor->counters.OnRunnable(*joiner);
    *joins = true;
    return joiner;
  });
}

}  // namespace curg::internal
