// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: making tasks runnable, and finding the next one to run.
#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "runtime/coarse_clock.h"
#include "runtime/cpu_meter.h"
#include "runtime/pick_next.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

uint32_t NextRandom(uint32_t& state) {  // xorshift32 (Marsaglia 2003)
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

// Whether `task`, which is about to become runnable, has not run for so long that others have put
// its stack out of the cache. The kernel's work for I/O does so soon; a sleeper has let everybody
// else run.
bool IsCold(const Task& task, uint32_t now) {
  if (!task.HasBegun()) return false;
  const WaitReason reason = task.wait_reason.load(std::memory_order_relaxed);
  return task.since != now || reason == WaitReason::kSleep || reason == WaitReason::kIoRead ||
         reason == WaitReason::kIoOperation;
}

}  // namespace

// A sleeper sleeps again, with frames a little lower. Who waited for I/O goes on with what it
// captured, a connection mostly; of the others many end, for which the record is needed.
void FetchFrames(const Task& task) {
  constexpr size_t kLine = 64;
  const auto fetch = [](uintptr_t from, size_t lines) {
    for (size_t i = 0; i < lines; ++i)
      __builtin_prefetch(reinterpret_cast<const void*>(from + i * kLine), /*rw=*/1);
  };
  const auto hot = reinterpret_cast<uintptr_t>(task.context.hot());
  const auto record = reinterpret_cast<uintptr_t>(&task);
  const auto body = reinterpret_cast<uintptr_t>(&task.body);
  switch (task.wait_reason.load(std::memory_order_relaxed)) {
    case WaitReason::kSleep:
      fetch(hot - kLine, 6);
      return fetch(body, 1);
    case WaitReason::kIoRead:
    case WaitReason::kIoOperation:
      fetch(hot, 14);
      return fetch(body, 1);
    default:
      fetch(hot, 9);
      return fetch(record + kLine, 2);
  }
}

// ---- Making runnable.

// Not inlined: a kilobyte on the stack of whoever calls PushLocal, mostly a task, would be another
// page of it.
[[gnu::noinline]] void Scheduler::PushOverflow(Processor& processor, Task* task) {
  do {
    constexpr size_t kMost = RunQueue<>::kPart;
    std::array<Task*, kMost + 1> overflow;
    const size_t count = processor.queue.PopPart(std::span(overflow).first<kMost>());
    if (count == 0) continue;
    overflow[count] = task;
    return global_.PushAll(std::span(overflow).first(count + 1));
  } while (!processor.queue.Push(task));
}

[[gnu::noinline]] void Scheduler::ReadyElsewhere(Task* task) {
  // Once pushed, the task may run to the program's end and the runtime be destroyed, while this
  // thread still looks for a worker to wake.
  const std::shared_ptr<Scheduler> keep = weak_from_this().lock();
  if (readied_outside_.fetch_add(1, std::memory_order_relaxed) %
          ProcessorCounters::kLatencySample ==
      0) {
    ProcessorCounters::Stamp(*task);
  }
  global_.Push(task);
  WakeOne();
}

[[gnu::always_inline]] inline void Scheduler::ReadyHere(Processor& processor, Task* task) {
  processor.counters.OnRunnable(*task);
  bool is_lone = false;
  if (batches_) {
    Task* const displaced = processor.batch.ExchangeNext(task);
    if (displaced != nullptr) PushLocal(processor, displaced);
    is_lone = displaced == nullptr;
  } else {
    PushLocal(processor, task);
  }
  if (IsAlone()) return;  // nobody else is there who could come for it
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the submitter's, see the header
  // seq_cst: the napper looks later
  if (is_lone && napping_.load(std::memory_order_seq_cst) && !processor.HasQueue()) return;
  WakeOne();
}

[[gnu::flatten]] void Scheduler::Ready(Task* task) {
  const uint32_t now = CoarseClock::Now();
  task->is_cold = IsCold(*task, now);
  task->since = now;
  // release: pairs with RollCall
  task->state.store(TaskState::kRunnable, std::memory_order_release);
  Worker* const worker = CurrentWorker();
  if (worker == nullptr || &worker->scheduler != this) [[unlikely]]
    return ReadyElsewhere(task);
  ReadyHere(*worker->processor, task);
}

void Scheduler::AddTimer(Timer* timer) {
  Worker* const worker = CurrentWorker();
  const bool here = worker != nullptr && &worker->scheduler == this;
  Processor& processor = here ? *worker->processor : *processors_.front();
  const int64_t when = timer->when;  // the timer may have fired when Add returns
  if (processor.timers.Add(timer)) WakeTimekeeper(when);
}

bool Scheduler::CommitSleep(void* arg) {
  Worker& worker = *CurrentWorker();
  Task* const task = static_cast<Task*>(arg);
  const int64_t when = SleepEnd(task->wait_object);  // the task may run when AddSleeper returns
  if (worker.processor->timers.AddSleeper(task, when)) worker.scheduler.WakeTimekeeper(when);
  return true;
}

// The first runs next, as if it were alone, which also publishes the others, in the ring.
void Scheduler::ReadySleepers(std::span<Task* const> tasks) {
  Worker* const worker = CurrentWorker();
  if (worker == nullptr || &worker->scheduler != this) {
    for (Task* const task : tasks) Ready(task);
    return;
  }
  // The pages first, all together: to find where each is takes longer than anything else here.
  for (const Task* const task : tasks) __builtin_prefetch(task->context.hot(), /*rw=*/1);
  for (Task* const task : tasks.subspan(1)) {
    FetchFrames(*task);
    ReadyLast(*worker, task);
  }
  FetchFrames(*tasks.front());
  Ready(tasks.front());
}

size_t Scheduler::FireDue(Processor& processor, int64_t now, size_t sleepers_max) {
  const auto wake = [this](std::span<Task* const> tasks) { ReadySleepers(tasks); };
  return processor.timers.RunDue(now, sleepers_max, wake);
}

// ---- Finding work.

// Where batches are out of use. With a seed: any of those queued here.
Task* Scheduler::PopUnbatched(Processor& processor) {
  if (config_.schedule_seed == 0) return processor.queue.Pop();
  const uint32_t size = processor.queue.size();
  if (size == 0) return nullptr;
  for (uint32_t before = NextRandom(processor.shuffle) % size; before > 0; --before) {
    if (Task* task = processor.queue.Pop()) PushLocal(processor, task);
  }
  return processor.queue.Pop();
}

// From the ring, where the batch is empty: fills it. What runs soon is fetched ahead, and of what
// comes after, the records.
[[gnu::noinline]] Task* Scheduler::PopBatch(Processor& processor) {
  std::array<Task*, RunBatch<Task>::kSize + 1> tasks;
  const size_t count = processor.queue.PopBatch(tasks);
  if (count == 0) return nullptr;
  for (size_t i = 0; i < count; ++i) FetchStack(*tasks[i]);
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    const Task* const later = processor.queue.Peek(i);
    if (later == nullptr) break;
    __builtin_prefetch(later, /*rw=*/1);
  }
  if (count > 1) processor.batch.Fill(std::span(tasks).subspan(1, count - 1));
  return tasks[0];
}

Task* Scheduler::PopGlobal(Processor& processor, size_t batch_max) {
  const size_t share = global_.size() / static_cast<size_t>(config_.workers) + 1;
  std::array<Task*, kGlobalBatch> tasks;
  const size_t count =
      global_.PopBatch(std::span(tasks).first(std::min({share, batch_max, tasks.size()})));
  if (count == 0) return nullptr;
  for (size_t i = 1; i < count; ++i) PushLocal(processor, tasks[i]);
  return tasks[0];
}

// More sleepers than can be fetched ahead stay where they are until those have run: the timers are
// looked at again after kTimerPeriod tasks.
Task* Scheduler::RunTimers(Worker& worker, Processor& processor, int64_t now) {
  Processor& own = *worker.processor;
  const uint32_t waiting = own.queue.size() + own.batch.Size();
  size_t sleepers = waiting + kTimerPeriod < kFetchedAhead ? kFetchedAhead - waiting : kTimerPeriod;
  if (config_.schedule_seed != 0) sleepers = SIZE_MAX;  // to choose among all of them
  return FireDue(processor, now, sleepers) > 0 ? PopLocal(own) : nullptr;
}

// What a processor that stands still was about to run. `own` is empty.
Task* Scheduler::StealStale(Processor& own, Processor& victim) {
  if (!victim.IsStale()) return nullptr;
  std::array<Task*, RunBatch<Task>::kMost> stolen;
  const size_t count = victim.batch.Steal(stolen);
  if (count == 0) return nullptr;
  own.counters.steals.Add();
  own.counters.stolen.Add(count);
  for (size_t i = 1; i < count; ++i) PushLocal(own, stolen[i]);
  return stolen[0];
}

Task* Scheduler::StealWork(Worker& worker) {
  Processor& own = *worker.processor;
  const size_t count = this->count();
  for (int round = 0; round < kStealRounds; ++round) {
    const bool last_round = round == kStealRounds - 1;
    const size_t start = NextRandom(worker.random) % count;
    for (size_t i = 0; i < count; ++i) {
      Processor& victim = *processors_[(start + i) % count];
      if (&victim == &own) continue;
      if (Task* task = own.queue.StealFrom(victim.queue)) {
        own.counters.steals.Add();
        own.counters.stolen.Add(own.queue.size() + 1);  // it was empty before
        return task;
      }
      if (!last_round) continue;
      if (victim.timers.Earliest() != TimerQueue::kNever) {
        if (Task* task = RunTimers(worker, victim, MonotonicNow())) return task;
      }
      if (Task* task = StealStale(own, victim)) return task;
    }
    if (global_.size() > 0) return PopGlobal(own, kGlobalBatch);
  }
  return nullptr;
}

Task* Scheduler::Spin(Worker& worker) {
  if (count() == 1) return nullptr;
  if (!worker.spinning) {
    // No more searchers than half of those that are busy: they would only find each other.
    const int busy = num_workers() - idle_count_.load(std::memory_order_relaxed);
    if (2 * spinning_.load(std::memory_order_relaxed) >= busy) return nullptr;
    worker.spinning = true;
    worker.processor->counters.searches.Add();
    spinning_.fetch_add(1, std::memory_order_seq_cst);
  }
  return StealWork(worker);
}

Task* Scheduler::FindRunnable(Worker& worker) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (worker.processor == nullptr) [[unlikely]] {
      worker.thread->meter->Idle();
      if (BecomeSpare(worker) && !WaitAsSpare(worker)) return nullptr;
      continue;
    }
    Processor& processor = *worker.processor;
    if (processor.held.load(std::memory_order_relaxed)) [[unlikely]]
      ComeBack(worker);
    if (MustRetire(processor)) [[unlikely]] {
      Retire(worker);
      continue;
    }
    const uint32_t tick = processor.tick.load(std::memory_order_relaxed) + 1;
    processor.tick.store(tick, std::memory_order_relaxed);  // relaxed: a hint for thieves
    Task* task = nullptr;
    const bool global = processor.pace.TakeGlobalTurn(tick);
    if (HasLocalWork(processor)) PollIfDue(worker, tick);  // else it comes to wait there
    if (global) task = PopGlobal(processor, 1);
    if (task == nullptr && TimersAreDue(processor, tick))
      task = RunTimers(worker, processor, MonotonicNow());
    if (task == nullptr) task = PopLocal(processor);
    if (task == nullptr) task = PopGlobal(processor, kGlobalBatch);
    if (task == nullptr && processor.timers.Earliest() != TimerQueue::kNever) {
      task = RunTimers(worker, processor, MonotonicNow());
    }
    if (task == nullptr) {
      worker.thread->meter->Idle();
      task = Spin(worker);
    }
    if (task != nullptr) {
      if (worker.spinning) {
        EndSpin(worker);
      } else {
        WakeForRest(processor);
      }
      return task;
    }
    if (config_.virtual_time && AdvanceTime()) continue;
    if (!Sleep(worker)) return nullptr;
    // acquire: pairs with the release in SetAwakeListener()
    if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire)) {
      listener->OnWorkerAwake();
    }
  }
  return nullptr;
}

bool Scheduler::HasWorkFor(Worker& worker) {
  Processor& processor = *worker.processor;
  if (HasLocalWork(processor) || global_.size() > 0) return true;
  const int64_t earliest = processor.timers.Earliest();
  return (earliest != TimerQueue::kNever && earliest <= MonotonicNow()) || PollIsDue() ||
         stopping_.load(std::memory_order_relaxed);
}

}  // namespace curg::internal
