// SPDX-License-Identifier: Apache-2.0
#include "runtime/sysmon.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/coarse_clock.h"
#include "runtime/service.h"
#include "runtime/timers.h"
#include "runtime/worker_count.h"

namespace curg::internal {
Sysmon::Sysmon(Scheduler& scheduler, const ReportOptions& reports)
    : scheduler_(scheduler),
      slices_(reports.long_slice_ns, reports.long_slice_always, reports.long_slices_a_minute),
      deadlocks_(*this, reports.deadlock, reports.deadlock_warning_ns) {
  deadlocks_.Begin();
  task_ = GoService("sysmon", [this] { Run(); });
  scheduler_.SetAwakeListener(this);
}

void Sysmon::Stop() {
  stopping_.store(true, std::memory_order_seq_cst);  // before Wake's look for the waiter
  Wake();
  task_.Join();
  deadlocks_.End();
}

void Sysmon::Wake() {
  std::lock_guard lock(lock_);
  // The waiter takes itself out under the lock as well, so it is there until we are done.
  if (waiter_ != nullptr && waiter_->TryClaim()) std::exchange(waiter_, nullptr)->Wake();
}

void Sysmon::Run() {
  while (!stopping_.load(std::memory_order_seq_cst)) {
    const int64_t now = CoarseClock::Advance();
    const bool retake = LookAtBlocked();
    const bool polls = LookAtPoller();
    if (now >= next_look_) Look(now);
    WaitForNext(now, retake, polls);
  }
}

void Sysmon::Look(int64_t now) {
  next_look_ = now + slices_.Period(kPeriodNs);
  const bool all_held = MarkHeld(now);
  FireOverdueTimers(now);
  FollowCpus(now);
  const bool work_waits = scheduler_.AnyWork();
  const bool waited = work_waits || scheduler_.surplus_active_.load(std::memory_order_relaxed) > 0;
  for (size_t i = 0; i < seen_.size(); ++i)
    slices_.Look(i, *scheduler_.processors_[i], waited, now);
  if (work_waits || scheduler_.PollIsDue()) {
    if (scheduler_.idle_count_.load(std::memory_order_seq_cst) > 0) {
      scheduler_.WakeOne();
    } else if (MayAddWorker(all_held)) {
      scheduler_.StartSurplus();
    }
  }
  Trim(now);
  deadlocks_.Look(now);
}

// What happens is to be the same each time, however the kernel runs the worker.
bool Sysmon::AddsNoWorkers() const {
  return scheduler_.config_.virtual_time || scheduler_.config_.schedule_seed != 0;
}

// Whether one more worker is to run, as work waits and none sleeps.
bool Sysmon::MayAddWorker(bool all_held) const {
  if (AddsNoWorkers()) return false;
  const int beyond = scheduler_.surplus_active_.load(std::memory_order_relaxed);
  return all_held || beyond < scheduler_.limit() - scheduler_.num_workers();
}

// Follows the cgroup's quota and the affinity mask, once a second.
void Sysmon::FollowCpus(int64_t now) {
  if (!scheduler_.config_.follow_cpus || now < next_cpus_) return;
  next_cpus_ = now + kCpusPeriodNs;
  scheduler_.SetLimit(AvailableCpus());
}

// True: it is to look again soon.
bool Sysmon::LookAtBlocked() {
  const Scheduler::Retake retake = scheduler_.RetakeBlocked(blocked_);
  // A processor that cannot be taken now is no reason to look all the time.
  // seq_cst, all: with Scheduler::CallForRetake()
  if (retake == Scheduler::Retake::kRefused)
    scheduler_.retake_called_.store(false, std::memory_order_seq_cst);
  if (!scheduler_.retake_called_.load(std::memory_order_seq_cst)) {
    retake_looks_ = retake_quiet_looks_ = 0;
    return false;
  }
  ++retake_looks_;
  retake_quiet_looks_ = retake == Scheduler::Retake::kSoon ? 0 : retake_quiet_looks_ + 1;
  if (retake_quiet_looks_ < kRetakeQuietLooks) return true;
  scheduler_.retake_called_.store(false, std::memory_order_seq_cst);
  if (!scheduler_.NeedsRetake()) return false;
  scheduler_.retake_called_.store(true, std::memory_order_seq_cst);
  return true;
}

// A worker that leaves the poller to run a task does not wake another one in its place: mostly it
// is back in microseconds. True: it is to look again soon.
bool Sysmon::LookAtPoller() {
  if (scheduler_.poller() == nullptr || scheduler_.num_workers() == 1) return false;
  if (scheduler_.idle_count_.load(std::memory_order_seq_cst) > 0 && scheduler_.PollIsDue())
    scheduler_.WakeOne();
  poll_quiet_looks_ = AllAsleep() ? poll_quiet_looks_ + 1 : 0;
  return poll_quiet_looks_ < kPollQuietLooks;
}

size_t Sysmon::WorkerThreads() const {
  return static_cast<size_t>(scheduler_.running_.load(std::memory_order_relaxed));
}

bool Sysmon::AllAsleep() const {
  const int idle = scheduler_.idle_count_.load(std::memory_order_seq_cst);
  const int surplus = scheduler_.surplus_active_.load(std::memory_order_relaxed);
  return idle >= scheduler_.num_workers() + surplus;
}

// The workers' announcement that they sleep is sequentially consistent and comes after all they
// did.
bool Sysmon::IsQuiet() const {
  return AllAsleep() && scheduler_.spinning_.load(std::memory_order_seq_cst) == 0 &&
         scheduler_.calls_.load(std::memory_order_seq_cst) == 0 &&
         scheduler_.EarliestTimer() == TimerQueue::kNever && !scheduler_.AnyWork() &&
         !IoMayWake() && AllAsleep();
}

bool Sysmon::IoMayWake() const {
  const Poller* const poller = scheduler_.poller();
  return poller != nullptr && poller->MayWake();
}

uint64_t Sysmon::Epoch() const {
  uint64_t ticks = 0;
  for (size_t i = 0; i < scheduler_.count(); ++i) {
    ticks += scheduler_.processors_[i]->tick.load(std::memory_order_relaxed);
  }
  return ticks;
}

// `retake`, `polls`: it looks at calls of Blocking, at the poller.
void Sysmon::WaitForNext(int64_t now, bool retake, bool polls) {
  if (!AllAsleep()) more_to_trim_ = true;
  const bool rest = !retake && !more_to_trim_ && !slices_.pending();
  int64_t deadline = next_look_;
  if (polls) deadline = std::min(deadline, now + kPollLookNs);
  if (retake) deadline = now + (retake_looks_ < kRetakeLooks ? kRetakeNs : kRetakeLateNs);
  const bool until_awake =
      !rest && !polls && scheduler_.poller() != nullptr && scheduler_.num_workers() > 1;
  all_asleep_.store(until_awake, std::memory_order_seq_cst);
  if (rest) {
    resting_.store(true, std::memory_order_seq_cst);
    deadline = deadlocks_.next_look();
  }
  bool woken = true;
  ClaimWaiter waiter;
  lock_.lock();
  // seq_cst: with OnWorkerAwake(), and with Stop()
  if (stopping_.load(std::memory_order_seq_cst) || ((rest || until_awake) && !AllAsleep()) ||
      (!retake && scheduler_.retake_called_.load(std::memory_order_seq_cst))) {
    lock_.unlock();
  } else {
    waiter_ = &waiter;
    lock_.unlock();
    if (!waiter.Wait(WaitReason::kServiceWait, this, deadline)) {
      std::lock_guard lock(lock_);
      if (waiter_ == &waiter) waiter_ = nullptr;
      woken = false;
    }
  }
  if (until_awake) {
    all_asleep_.store(false, std::memory_order_relaxed);
    if (woken) poll_quiet_looks_ = 0;
  }
  if (rest) {
    resting_.store(false, std::memory_order_relaxed);
    next_look_ = 0;
    poll_quiet_looks_ = 0;
  }
  if (rest && woken) {
    // Whoever woke us uses some; the look that counts is the first one after all sleep again.
    more_to_trim_ = true;
    next_trim_ = MonotonicNow() + kTrimPeriodNs;
  }
}

bool Sysmon::IsHeld(size_t index, int64_t now) {
  const Processor& processor = *scheduler_.processors_[index];
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed);
  Seen& seen = seen_[index];
  // acquire: pairs with Scheduler::Assign()
  const Worker* const worker = processor.worker.load(std::memory_order_acquire);
  if (seen.tick != tick || worker->asleep.load(std::memory_order_relaxed) != 0) {
    seen = {.tick = tick, .since = now};
  }
  return now - seen.since >= kHeldNs;
}

// Whether every worker that is to run is held.
bool Sysmon::MarkHeld(int64_t now) {
  seen_.resize(scheduler_.count(), {.tick = 0, .since = now});
  bool all_held = true;
  for (size_t i = 0; i < seen_.size(); ++i) {
    Processor& processor = *scheduler_.processors_[i];
    if (!IsHeld(i, now)) {
      const Worker* const worker = processor.worker.load(std::memory_order_acquire);
      const bool retired = worker->asleep.load(std::memory_order_relaxed) != 0;
      if (!retired) all_held = false;
    } else if (!AddsNoWorkers() && !processor.held.exchange(true, std::memory_order_relaxed)) {
      scheduler_.held_count_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return all_held;
}

void Sysmon::FireOverdueTimers(int64_t now) {
  // The worker that has moved the time on fires what is due then. Were it done from here, it might
  // find nothing to do meanwhile, and move on again.
  if (scheduler_.config_.virtual_time) return;
  for (size_t i = 0; i < seen_.size(); ++i) {
    if (now - seen_[i].since < kHeldNs) continue;
    scheduler_.FireDue(*scheduler_.processors_[i], scheduler_.Now(), SIZE_MAX);
  }
}

void Sysmon::Trim(int64_t now) {
  if (now < next_trim_) return;
  next_trim_ = now + kTrimPeriodNs;
  more_to_trim_ = scheduler_.TrimMemory();
}

}  // namespace curg::internal
