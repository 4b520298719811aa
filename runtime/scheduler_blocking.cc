// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: processors whose tasks are in Blocking.
//
//   running --EnterBlocking: blocking = n--> blocked --LeaveBlocking: n to 0--> running, as if
//   nothing had been
//                                               |
//                                               +------ HandOver, TakeBlocked: n to 0--> somebody
//                                               else's
//
// Invariant  while Processor::blocking is not 0, nobody has the processor: its worker has promised
//            not to use it (CurrentWorker() is null on its thread), and whoever changes the word to
//            0 has it. The number is never used twice for a processor, so a late compare-and-swap
//            fails.
// Ordering   the word: release at the entry, acquire by whoever takes it (the plain fields of the
//            processor).
// Who takes  a task that comes back from Blocking and finds its own taken: any other, whatever its
//            age, so that a hundred tasks that call Blocking in turns need neither wake-ups nor
//            sleep. Sysmon, if the same call was there at its last look, some tens of microseconds
//            before, for a spare worker. The entering task itself, if work waits and the last call
//            from the same place was long: for a spare worker as well.
// Who calls  sysmon to look: the entering task if work waits already, and whoever submits work
//            later and finds nobody asleep (WakeOne). Each makes its own visible first, then looks
//            for the other's.
// Rejected   a time stamp at the entry, for a precise age: 20 ns each; a wake-up at each entry
//            (Go's entersyscallblock): 2 us; looking all the time (Go's sysmon while anything
//            runs): 5 % of a CPU.
#include <cerrno>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "runtime/claim_waiter.h"
#include "runtime/futex.h"
#include "runtime/park.h"
#include "runtime/pick_next.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"
#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

// A call that gave its processor away at once, and should not have.
constexpr int64_t kShortCallNs = 20'000;

size_t SiteIndex(uintptr_t site) { return (site * 0x9E3779B97F4A7C15u) >> 56; }

}  // namespace

// ---- The calls that are allowed at a time.
//
// A call is counted from before its entry to after its end. Who finds the count at its bound stands
// in line, and gets its place from a call that ends:
//
//   waiter   gate_waiting_ += 1 ; calls_ < max ?          call that ends   calls_ -= 1 ;
//            gate_waiting_ > 0 ?
//
// Each does the first before the second, sequentially consistent, so one of the two sees the other.

struct Scheduler::GateWaiter {
  ClaimWaiter waiter;
  GateWaiter* next = nullptr;
};

bool Scheduler::CountCall() {
  int calls = calls_.load(std::memory_order_seq_cst);
  while (calls < config_.blocking_max) {
    if (calls_.compare_exchange_weak(calls, calls + 1, std::memory_order_seq_cst)) return true;
  }
  return false;
}

void Scheduler::EndCall() {
  calls_.fetch_sub(1, std::memory_order_seq_cst);
  if (gate_waiting_.load(std::memory_order_seq_cst) > 0) [[unlikely]]
    AdmitNext();
}

WaitStatus Scheduler::AwaitBlockingSlot(const WaitLimits& limits) {
  GateWaiter self;
  {
    std::lock_guard lock(gate_lock_);
    gate_waiting_.fetch_add(1, std::memory_order_seq_cst);
    if (gate_first_ == nullptr && CountCall()) {
      gate_waiting_.fetch_sub(1, std::memory_order_relaxed);
      return WaitStatus::kOk;
    }
    (gate_last_ != nullptr ? gate_last_->next : gate_first_) = &self;
    gate_last_ = &self;
  }
  const WaitStatus status = WaitClaimed(self.waiter, limits, WaitReason::kBlockingSlot, nullptr);
  if (status == WaitStatus::kOk) return status;
  std::lock_guard lock(gate_lock_);
  GateWaiter* before = nullptr;
  for (GateWaiter** link = &gate_first_; *link != nullptr; before = *link, link = &before->next) {
    if (*link != &self) continue;
    *link = self.next;
    if (gate_last_ == &self) gate_last_ = before;
    gate_waiting_.fetch_sub(1, std::memory_order_relaxed);
    break;
  }
  return status;
}

// Lets the first of those in who wait, if it has not given up and there is a place.
void Scheduler::AdmitNext() {
  GateWaiter* claimed = nullptr;
  {
    std::lock_guard lock(gate_lock_);
    while (gate_first_ != nullptr && claimed == nullptr && CountCall()) {
      GateWaiter* const first = std::exchange(gate_first_, gate_first_->next);
      if (gate_first_ == nullptr) gate_last_ = nullptr;
      gate_waiting_.fetch_sub(1, std::memory_order_relaxed);
      if (first->waiter.TryClaim()) {
        claimed = first;
      } else {  // it cannot leave without the lock
        calls_.fetch_sub(1, std::memory_order_seq_cst);
      }
    }
  }
  if (claimed != nullptr) claimed->waiter.Wake();
}

// ---- In and out.

void Scheduler::EnterBlocking(Worker& worker, uintptr_t site) {
  Processor& processor = *worker.processor;
  worker.blocking_tick = processor.tick.load(std::memory_order_relaxed);
  worker.handed_over_at = 0;
  const uint64_t call = ++processor.blocking_calls;
  worker.blocking_call = call;
  worker.thread->worker.store(nullptr, std::memory_order_relaxed);  // relaxed: see ThreadState
  // A read-modify-write, for it is the fence, too: from here on the processor is anybody's.
  processor.blocking.exchange(call, std::memory_order_seq_cst);
  if (!any_blocked_.load(std::memory_order_seq_cst))
    any_blocked_.store(true, std::memory_order_seq_cst);
  if (!WaitsForProcessor(processor)) [[likely]]
    return;
  if (idle_count_.load(std::memory_order_seq_cst) > 0) return WakeOne();
  // relaxed: a hint
  const bool was_long = long_sites_[SiteIndex(site)].load(std::memory_order_relaxed);
  if (was_long && HandOver(processor, call, /*may_start=*/false) == Retake::kDone) {
    worker.handed_over_at = TickClock::Now();
  } else {
    CallForRetake();
  }
}

void Scheduler::LeaveBlocking(Worker& worker, Task& task, uintptr_t site) {
  Processor* processor = worker.processor;
  uint64_t call = worker.blocking_call;
  // acquire: whoever may have had it meanwhile, and given it back, does not exist: this is for the
  // others' sake
  if (processor->blocking.compare_exchange_strong(call, 0, std::memory_order_acquire)) [[likely]] {
    const uint32_t tick = processor->tick.load(std::memory_order_relaxed);
    processor->tick.store(tick + 1, std::memory_order_relaxed);  // a slice begins
    worker.thread->worker.store(&worker, std::memory_order_relaxed);
    return EndCall();
  }
  const bool was_short = worker.handed_over_at != 0 &&
                         TickClock::ToNs(TickClock::Now() - worker.handed_over_at) < kShortCallNs;
  std::atomic<bool>& long_site = long_sites_[SiteIndex(site)];
  if (long_site.load(std::memory_order_relaxed) == was_short)
    long_site.store(!was_short, std::memory_order_relaxed);
  worker.processor = nullptr;
  processor = TakeIdle();
  if (processor == nullptr) processor = TakeBlocked();
  if (processor == nullptr) {
    worker.LeaveWithoutProcessor(
        task,
        [](void* arg) {
          Task* const self = static_cast<Task*>(arg);
          Scheduler& scheduler = *self->scheduler;
          scheduler.Ready(self);
          // this thread is the scheduler's still
          scheduler.detached_.fetch_sub(1, std::memory_order_seq_cst);
          scheduler.EndCall();
          return true;
        },
        &task);
    return;
  }
  Assign(worker, *processor);
  worker.thread->worker.store(&worker, std::memory_order_relaxed);
  detached_.fetch_sub(1, std::memory_order_seq_cst);
  EndCall();
  // acquire: pairs with the release in SetAwakeListener()
  if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire))
    listener->OnWorkerAwake();
}

// The caller has the processor.
void Scheduler::Assign(Worker& worker, Processor& processor) {
  worker.processor = &processor;
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed);
  processor.tick.store(tick + 1, std::memory_order_relaxed);
  processor.worker.store(&worker, std::memory_order_release);  // release: pairs with Sysmon's looks
}

// Whether anything may need this processor that its worker, in Blocking, does not run.
bool Scheduler::WaitsForProcessor(const Processor& processor) const {
  if (HasLocalWork(processor) || global_.size() > 0) return true;
  if (timekeeper_.load(std::memory_order_seq_cst) != nullptr) return false;
  return processor.timers.Earliest() != TimerQueue::kNever || poller() != nullptr;
}

// ---- Taking processors.

// The processor of a worker that sleeps, which becomes a spare, asleep as it is; or null.
Processor* Scheduler::TakeIdle() {
  if (idle_count_.load(std::memory_order_relaxed) == 0) return nullptr;  // relaxed: a hint
  Worker* keeper = nullptr;
  Processor* processor;
  {
    std::lock_guard lock(idle_lock_);
    if (idle_ == nullptr) return nullptr;
    Worker** link = &idle_;
    if (idle_ == timekeeper_.load(std::memory_order_seq_cst)) {
      if (idle_->idle_next != nullptr) {
        link = &idle_->idle_next;
      } else {
        keeper = idle_;
      }
    }
    Worker& worker = **link;
    *link = worker.idle_next;
    idle_count_.fetch_sub(1, std::memory_order_seq_cst);  // see Sysmon::WaitForNext
    processor = std::exchange(worker.processor, nullptr);
    if (keeper == nullptr) {
      worker.asleep.store(1, std::memory_order_relaxed);  // it may have been told to look at its
                                                          // deadline
      worker.is_spare = true;
      worker.idle_next = spares_;
      spares_ = &worker;
    }
  }
  if (keeper != nullptr) {
    Wake(*keeper);  // to keep time no longer
  } else if (NobodyKeepsTime()) {
    WakeOne();  // the one without a processor was about to
  }
  return processor;
}

// The processor of a task that is in Blocking, or null.
Processor* Scheduler::TakeBlocked() {
  for (size_t i = 0; i < count(); ++i) {
    Processor& processor = *processors_[i];
    // relaxed: the swap decides
    uint64_t call = processor.blocking.load(std::memory_order_relaxed);
    if (call == 0) continue;
    detached_.fetch_add(1, std::memory_order_seq_cst);
    // acquire: pairs with the release in EnterBlocking()
    if (processor.blocking.compare_exchange_strong(call, 0, std::memory_order_acquire))
      return &processor;
    detached_.fetch_sub(1, std::memory_order_seq_cst);
  }
  return nullptr;
}

// With a processor that nobody has: for `spare`, which sleeps, and is in no list.
void Scheduler::AddIdle(Worker& spare, Processor& processor) {
  {
    std::lock_guard lock(idle_lock_);
    Assign(spare, processor);
    // Stop() may have looked already
    if (stopping_.load(std::memory_order_seq_cst)) return Wake(spare);
    spare.idle_next = idle_;
    idle_ = &spare;
  }
  idle_count_.fetch_add(1, std::memory_order_seq_cst);
  // Announced; now the look that no submitter can have missed.
  const bool nobody_polls =
      poller() != nullptr && timekeeper_.load(std::memory_order_seq_cst) == nullptr;
  if (AnyWork() || NobodyKeepsTime() || nobody_polls) WakeOne();
}

// Takes `processor` from the call of that number, for a spare worker. kSoon: the call is over, or
// there is no spare.
Scheduler::Retake Scheduler::HandOver(Processor& processor, uint64_t call, bool may_start) {
  detached_.fetch_add(1, std::memory_order_seq_cst);
  Worker* spare = nullptr;
  bool taken = false;
  {
    std::lock_guard lock(idle_lock_);
    if (spares_ != nullptr || may_start) {
      // acquire: pairs with the release in EnterBlocking()
      taken = processor.blocking.compare_exchange_strong(call, 0, std::memory_order_acquire);
    }
    if (taken && spares_ != nullptr) {
      spare = std::exchange(spares_, spares_->idle_next);
      spare->is_spare = false;
    }
  }
  Retake result = taken ? Retake::kDone : Retake::kSoon;
  if (taken && spare != nullptr) {
    AddIdle(*spare, processor);
  } else if (taken && !StartSpare(processor)) {
    // Nobody is there to run it. Whoever comes back from Blocking can take it, its own task
    // excepted.
    processor.blocking.store(++processor.blocking_calls, std::memory_order_seq_cst);
    result = Retake::kRefused;
  }
  if (result != Retake::kDone) detached_.fetch_sub(1, std::memory_order_seq_cst);
  return result;
}

// Sysmon only. False: the system refuses a thread, or memory for it.
bool Scheduler::StartSpare(Processor& processor) {
  Worker* worker;
  {
    std::lock_guard lock(idle_lock_);
    worker = ended_;
    if (worker != nullptr) ended_ = worker->idle_next;
  }
  try {
    if (worker != nullptr) {
      Assign(*worker, processor);
    } else if (worker_count() < workers_.capacity()) {
      worker = &AddWorker(std::make_unique<Worker>(*this, nullptr, config_.kind), processor);
    } else {
      return false;
    }
    StartThread(*worker);
    return true;
  } catch (const std::exception&) {  // std::system_error, or no memory
    if (worker == nullptr) return false;
    std::lock_guard lock(idle_lock_);
    worker->processor = nullptr;
    worker->idle_next = ended_;
    ended_ = worker;
    return false;
  }
}

void Scheduler::CallForRetake() {
  // seq_cst: the caller's work, or call, is visible before; RetakeBlocked()'s caller clears it,
  // then looks
  if (retake_called_.load(std::memory_order_seq_cst) ||
      retake_called_.exchange(true, std::memory_order_seq_cst))
    return;
  const int saved_errno = errno;
  // acquire: pairs with the release in SetAwakeListener()
  if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire))
    listener->OnBlockedWork();
  errno = saved_errno;
}

// Whether some task is in Blocking while work waits.
bool Scheduler::NeedsRetake() {
  for (size_t i = 0; i < count(); ++i) {
    const Processor& processor = *processors_[i];
    if (processor.blocking.load(std::memory_order_seq_cst) == 0) continue;
    if (WaitsForProcessor(processor) || AnyWork()) return true;
  }
  return false;
}

Scheduler::Retake Scheduler::RetakeBlocked(std::vector<uint64_t>& seen) {
  seen.resize(count());
  any_blocked_.store(false, std::memory_order_seq_cst);
  bool blocked = false;
  bool failed = false;
  bool refused = false;
  bool needed = false;
  for (size_t i = 0; i < seen.size(); ++i) {
    Processor& processor = *processors_[i];
    const uint64_t call = processor.blocking.load(std::memory_order_seq_cst);
    const bool old = call != 0 && call == std::exchange(seen[i], call);
    const Retake taken = old ? HandOver(processor, call, /*may_start=*/true) : Retake::kSoon;
    if (call == 0 || taken == Retake::kDone) continue;
    blocked = true;
    failed |= old;
    needed |= WaitsForProcessor(processor);
    if (taken != Retake::kRefused) continue;
    refused = true;
    seen[i] = processor.blocking.load(std::memory_order_seq_cst);  // the same call
  }
  // Others set it when they enter after the look at their word.
  if (blocked) any_blocked_.store(true, std::memory_order_seq_cst);
  if (refused) return Retake::kRefused;
  return blocked && !failed && (needed || AnyWork()) ? Retake::kSoon : Retake::kDone;
}

// ---- Spares.

// With no processor. False: the scheduler stops.
bool Scheduler::BecomeSpare(Worker& worker) {
  std::lock_guard lock(idle_lock_);
  if (stopping_.load(std::memory_order_seq_cst)) return false;
  worker.placement.NoteSleep();
  worker.asleep.store(1, std::memory_order_relaxed);  // relaxed: published by the lock
  worker.is_spare = true;
  worker.idle_next = spares_;
  spares_ = &worker;
  return true;
}

// Waits until it is woken. False: it is not needed, and the thread is to end.
bool Scheduler::WaitAsSpare(Worker& worker) {
  // acquire: pairs with the release in Wake(), after which everything is ours again
  for (uint32_t asleep; (asleep = worker.asleep.load(std::memory_order_acquire)) != 0;) {
    if (FutexWait(worker.asleep, asleep, RealNow() + kSpareIdleNs)) continue;
    std::lock_guard lock(idle_lock_);
    if (!worker.is_spare) continue;  // it has a processor, or will be woken
    Worker** link = &spares_;
    while (*link != &worker) link = &(*link)->idle_next;
    *link = worker.idle_next;
    worker.is_spare = false;
    worker.asleep.store(0, std::memory_order_relaxed);
    worker.idle_next = ended_;
    ended_ = &worker;
    return false;
  }
  worker.placement.Settle();
  worker.thread->worker.store(&worker, std::memory_order_relaxed);  // relaxed: see ThreadState
  return true;
}

}  // namespace curg::internal
