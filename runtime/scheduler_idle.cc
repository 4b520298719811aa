// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: workers that sleep, and who wakes them. The protocol is in the header.
#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/coarse_clock.h"
#include "runtime/cpu_meter.h"
#include "runtime/futex.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"
#include "runtime/tick_clock.h"

namespace curg::internal {

void Scheduler::Wake(Worker& worker) {
  // release: pairs with the acquires in Sleep(); acquire: with SleepInPoller()
  if (worker.asleep.exchange(0, std::memory_order_acq_rel) == Worker::kAsleepInPoller) {
    poller()->Break();
  } else {
    FutexWake(worker.asleep);
  }
}

void Scheduler::WakeOne() {
  // seq_cst, both: after the caller's publication of work, which ends with a full fence
  while (idle_count_.load(std::memory_order_seq_cst) > 0 &&
         spinning_.load(std::memory_order_seq_cst) == 0) {
    int none = 0;
    if (!spinning_.compare_exchange_strong(none, 1, std::memory_order_seq_cst)) return;
    Worker* worker = nullptr;
    const int here = CpuPlacement::Here();
    {
      std::lock_guard lock(idle_lock_);
      Worker** link = &idle_;
      // The timekeeper goes on keeping time if anybody else can come.
      if (idle_ != nullptr && idle_->idle_next != nullptr &&
          idle_ == timekeeper_.load(std::memory_order_relaxed)) {
        link = &idle_->idle_next;
      }
      worker = *link;
      if (worker != nullptr) {
        *link = worker->idle_next;
        idle_count_.fetch_sub(1, std::memory_order_seq_cst);  // see Sysmon::WaitForNext
      }
    }
    if (worker != nullptr) {
      worker->spinning = true;  // published by Wake, as is the next
      worker->summoned = true;
      if (worker->placement.IsBehind(here)) {
        worker->placement.Avoid(here, worker->tid.load(std::memory_order_relaxed));
      }
      return Wake(*worker);
    }
    // Nobody slept. But whoever goes to sleep just now, or submits, may have relied on us: look
    // again.
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
  }
  // seq_cst: EnterBlocking() sets it, then looks for work; RetakeBlocked() clears it, then looks
  // for calls
  if (any_blocked_.load(std::memory_order_seq_cst) &&
      idle_count_.load(std::memory_order_seq_cst) == 0) [[unlikely]] {
    CallForRetake();
  }
}

// Found work while spinning. If more is left, the next one comes searching.
void Scheduler::EndSpin(Worker& worker) {
  worker.spinning = false;
  worker.summoned = false;
  // seq_cst: before the look at the queues, as others who saw us spinning did not wake anybody
  spinning_.fetch_sub(1, std::memory_order_seq_cst);
  if (idle_count_.load(std::memory_order_seq_cst) == 0) {
    if (any_blocked_.load(std::memory_order_seq_cst) && AnyWork()) CallForRetake();
    return;
  }
  if (NobodyKeepsTime() || AnyWork()) WakeOne();
}

bool Scheduler::NobodyKeepsTime() const {
  return timekeeper_.load(std::memory_order_seq_cst) == nullptr &&
         EarliestTimer() != TimerQueue::kNever;
}

int64_t Scheduler::EarliestTimer() const {
  int64_t earliest = TimerQueue::kNever;
  for (size_t i = 0; i < count(); ++i) {
    earliest = std::min(earliest, processors_[i]->timers.Earliest());
  }
  return earliest;
}

bool Scheduler::AnyWork() {
  if (global_.size() > 0) return true;
  for (size_t i = 0; i < count(); ++i) {
    if (processors_[i]->queue.size() > 0 || processors_[i]->IsStale()) return true;
  }
  const int64_t earliest = EarliestTimer();
  return earliest != TimerQueue::kNever && earliest <= Now();
}

// A new earliest timer: the timekeeper must sleep less. Where there is none, somebody becomes it.
void Scheduler::WakeTimekeeper(int64_t when) {
  // seq_cst, both: after the timer was published; SleepUntil's caller looks the other way round.
  Worker* const keeper = timekeeper_.load(std::memory_order_seq_cst);
  if (keeper == nullptr) return WakeOne();
  if (when >= timekeeper_deadline_.load(std::memory_order_seq_cst)) return;
  uint32_t asleep = keeper->asleep.load(std::memory_order_seq_cst);
  while (asleep == 1 || asleep == Worker::kAsleepInPoller) {
    if (!keeper->asleep.compare_exchange_weak(asleep, 2, std::memory_order_seq_cst)) continue;
    return asleep == 1 ? FutexWake(keeper->asleep) : poller()->Break();
  }
}

// For a worker that woke by itself: takes it out of the idle list, to search, or waits for whoever
// did that, and wakes it. False: its processor was taken, none came instead, and its thread is to
// end.
bool Scheduler::StopSleeping(Worker& worker) {
  bool spare;
  {
    std::lock_guard lock(idle_lock_);
    Worker** link = &idle_;
    while (*link != nullptr && *link != &worker) link = &(*link)->idle_next;
    if (*link != nullptr) {
      *link = worker.idle_next;
      idle_count_.fetch_sub(1, std::memory_order_seq_cst);  // see Sysmon::WaitForNext
      worker.asleep.store(0, std::memory_order_relaxed);
      worker.spinning = true;
      spinning_.fetch_add(1, std::memory_order_seq_cst);
      return true;
    }
    spare = worker.is_spare;
  }
  if (spare) return WaitAsSpare(worker);
  // acquire: pairs with the release in Wake(), after which `spinning` is ours again
  for (uint32_t asleep; (asleep = worker.asleep.load(std::memory_order_acquire)) != 0;) {
    FutexWait(worker.asleep, asleep);
  }
  return true;
}

void Scheduler::SleepUntil(Worker& worker, int64_t deadline) {
  // relaxed: whether it is us, nobody else changes
  if (timekeeper_.load(std::memory_order_relaxed) == &worker) {
    // seq_cst: see UsePoller()
    if (Poller* const poller = poller_.load(std::memory_order_seq_cst)) {
      return SleepInPoller(worker, *poller, deadline);
    }
  }
  // acquire: pairs with the release in Wake()
  while (worker.asleep.load(std::memory_order_acquire) == 1) {
    if (!FutexWait(worker.asleep, 1, deadline)) return;
  }
}

void Scheduler::SleepInPoller(Worker& worker, Poller& poller, int64_t deadline) {
  uint32_t asleep = 1;
  // acq_rel: release pairs with Wake(), which may call Break; acquire with what it wakes us for
  if (!worker.asleep.compare_exchange_strong(asleep, Worker::kAsleepInPoller,
                                             std::memory_order_acq_rel))
    return;
  const bool found = poller.Wait(deadline);
  asleep = Worker::kAsleepInPoller;
  // Fails if somebody has woken us. 2: nothing more to sleep for.
  worker.asleep.compare_exchange_strong(asleep, found ? 2 : 1, std::memory_order_acq_rel);
}

Poller& Scheduler::UsePoller(std::unique_ptr<Poller> (*make)()) {
  if (Poller* const poller = this->poller()) return *poller;
  std::lock_guard lock(poller_lock_);
  if (poller_.load(std::memory_order_relaxed) == nullptr) {
    // seq_cst: a timekeeper that does not see it yet is seen below, and wakes up to see it
    poller_.store(make().release(), std::memory_order_seq_cst);
    WakeTimekeeper(/*when=*/0);
  }
  return *poller();
}

int64_t Scheduler::SincePoll() const {
  return TickClock::ToNs(TickClock::Now() - polled_at_.load(std::memory_order_relaxed));
}

bool Scheduler::PollIsDue() const {
  if (poller_.load(std::memory_order_relaxed) == nullptr) return false;
  if (timekeeper_.load(std::memory_order_relaxed) != nullptr) return false;  // it waits in it
  return SincePoll() >= kPollPeriodNs;
}

// A busy worker's look at the poller, in the role of the timekeeper. First come, first served: what
// is ready now runs after those that wait already. Were it put into a ring that is full, the oldest
// would have to make room, and wait in the global queue for as long as there is I/O.
void Scheduler::PollIfDue(Worker& worker, uint32_t tick) {
  if (poller_.load(std::memory_order_relaxed) == nullptr) return;
  const uint32_t waiting = worker.processor->queue.size();
  const int64_t period = kPollPeriodNs + waiting * kPollPerTaskNs;
  worker.processor->pace.OnPollLook(tick, TickClock::Now(), period / kPollLooks);
  if (!PollIsDue()) return;
  const bool others_wait = waiting > kPollRoom || global_.size() > 0;
  if (SincePoll() < (others_wait ? kPollLateNs : period)) return;
  Worker* nobody = nullptr;
  if (!timekeeper_.compare_exchange_strong(nobody, &worker, std::memory_order_seq_cst)) return;
  polled_at_.store(TickClock::Now(), std::memory_order_relaxed);
  Poller& poller = *this->poller();
  const bool found = poller.Wait(/*deadline=*/0);
  // relaxed, both: see ThreadState; meanwhile it counts as somebody else, whose tasks go behind all
  // others
  if (others_wait) worker.thread->worker.store(nullptr, std::memory_order_relaxed);
  if (found) poller.Dispatch();
  worker.thread->worker.store(&worker, std::memory_order_relaxed);
  timekeeper_.store(nullptr, std::memory_order_seq_cst);
  // Who went to sleep meanwhile found the role taken, and who added a timer thought that we would
  // see it.
  if (idle_count_.load(std::memory_order_seq_cst) > 0 && NobodyKeepsTime()) WakeOne();
}

void Scheduler::FlushCaches(Processor& processor) {
  processor.stacks.Flush();
  processor.tasks.Flush();
  processor.tags.Clear();
}

// Once a second at most a worker that has nothing to do gives back what its processor's caches
// hold. When it is to wake up for that; kNever: there is nothing, or not any more.
int64_t Scheduler::FlushTime(Worker& worker) {
  Processor& processor = *worker.processor;
  if (processor.stacks.Empty() && processor.tasks.Empty()) return TimerQueue::kNever;
  const int64_t now = RealNow();
  if (processor.flush_at == 0) processor.flush_at = now + kCacheIdleNs;
  if (now < processor.flush_at) return processor.flush_at;
  FlushCaches(processor);
  worker.thread->meter->ReleaseIfOff();
  processor.flush_at = 0;
  // acquire: pairs with the release in SetAwakeListener()
  if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire)) {
    listener->OnWorkerAwake();  // sysmon: there is memory to look at
  }
  return TimerQueue::kNever;
}

// For a worker that goes to sleep: one whose processor was taken already must not, see TakeIdle().
bool Scheduler::BecomeKeeper(Worker& worker) {
  std::lock_guard lock(idle_lock_);
  Worker* nobody = nullptr;
  return !worker.is_spare &&
         timekeeper_.compare_exchange_strong(nobody, &worker, std::memory_order_seq_cst);
}

// With virtual time, when nothing is left to run: the time of the next timer, unless something real
// may come first.
bool Scheduler::AdvanceTime() {
  // seq_cst, and before the look for work: who leaves Blocking is queued before its call is over
  if (calls_.load(std::memory_order_seq_cst) > 0 || (poller() != nullptr && poller()->MayWake()))
    return false;
  const int64_t earliest = EarliestTimer();
  if (earliest == TimerQueue::kNever || stopping_.load(std::memory_order_relaxed) || AnyWork())
    return false;
  // relaxed: the worker's own
  if (earliest > Now()) virtual_now_.store(earliest, std::memory_order_relaxed);
  return true;
}

// False: the thread is to end.
bool Scheduler::Sleep(Worker& worker) {
  worker.placement.NoteSleep();
  const int64_t flush_at = FlushTime(worker);
  worker.processor->counters.sleeps.Add();
  worker.asleep.store(1, std::memory_order_relaxed);  // relaxed: published by the lock
  // Once in the list, `spinning` is for whoever wakes us to set, and the processor may be taken.
  const bool was_spinning = std::exchange(worker.spinning, false);
  const bool naps =
      std::exchange(worker.summoned, false) && !napping_.exchange(true, std::memory_order_seq_cst);
  {
    std::lock_guard lock(idle_lock_);
    worker.idle_next = idle_;
    idle_ = &worker;
  }
  idle_count_.fetch_add(1, std::memory_order_seq_cst);
  if (was_spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
  // Announced; now the look that no submitter can have missed.
  if (AnyWork() || stopping_.load(std::memory_order_seq_cst)) {
    if (naps) napping_.store(false, std::memory_order_seq_cst);  // before the search
    return StopSleeping(worker);
  }
  int64_t deadline = naps ? RealNow() + kNapNs : TimerQueue::kNever;
  const bool keeper = BecomeKeeper(worker);
  // Virtual time does not pass while it sleeps: somebody else has to come, and then it looks again.
  const bool timed = keeper && !config_.virtual_time;
  // A timer added after this loop's look finds a deadline that is later, and wakes us.
  for (int64_t next; timed && (next = std::max(EarliestTimer(), timers_not_before_)) < deadline;) {
    deadline = next;
    timekeeper_deadline_.store(deadline, std::memory_order_seq_cst);
  }
  SleepUntil(worker, std::min(deadline, flush_at));
  const int64_t now = CoarseClock::Advance();
  if (timed && EarliestTimer() <= now) timers_not_before_ = now + kTimerGapNs;
  if (naps) napping_.store(false, std::memory_order_seq_cst);  // before the search
  if (worker.asleep.load(std::memory_order_acquire) != 0 && !StopSleeping(worker)) return false;
  if (keeper) {
    // Its processor was taken: what is ready goes to others, and so do the timers.
    const bool deprived = worker.processor == nullptr;
    // relaxed: see ThreadState
    if (deprived) worker.thread->worker.store(nullptr, std::memory_order_relaxed);
    if (Poller* const poller = this->poller()) {
      poller->Dispatch();
      polled_at_.store(TickClock::Now(), std::memory_order_relaxed);
    }
    timekeeper_deadline_.store(TimerQueue::kNever, std::memory_order_seq_cst);
    timekeeper_.store(nullptr, std::memory_order_seq_cst);
    if (deprived && NobodyKeepsTime()) WakeOne();
  }
  if (Processor* const processor = worker.processor) {
    // relaxed: its own
    processor->pace.Restart(processor->tick.load(std::memory_order_relaxed), TickClock::Now());
  }
  worker.placement.Settle();
  return true;
}

}  // namespace curg::internal
