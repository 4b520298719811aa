// SPDX-License-Identifier: Apache-2.0
#include "runtime/scheduler.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/asymmetric_fence.h"
#include "runtime/check.h"
#include "runtime/coarse_clock.h"
#include "runtime/futex.h"
#include "runtime/pick_next.h"
#include "runtime/roll_call.h"
#include "runtime/unstable_reads.h"

namespace curg::internal {

// ---- Start and stop.

Scheduler::Scheduler(const Config& config)
    : config_(config),
      batches_(RegisterAsymmetricFence() && config.schedule_seed == 0),
      pool_(config.slot_size, config.stacks_max),
      limit_(config.workers) {
  processors_.reserve(static_cast<size_t>(config.workers) + kSurplusMax);
  workers_.reserve(processors_.capacity() + static_cast<size_t>(config.blocking_max) + 1);
  for (int i = 0; i < config.workers; ++i) {
    AddWorker(std::make_unique<Worker>(*this, nullptr, config.kind),
              AddProcessor(/*surplus=*/false));
  }
}

// Abandoned tasks lose their stacks; whoever walks the slabs must not look for them. Records of
// other runtimes may change meanwhile: none of those, once it is out of kNew, ever shows this
// scheduler.
Scheduler::~Scheduler() {
  delete poller_.load(std::memory_order_relaxed);  // while the stacks are there: operations may be
                                                   // on them
  std::lock_guard lock(RollCall::StacksLock());
  TaskSlab::Instance().ForEach([this](Task& task) {
    // acquire: pairs with the releases of those who make it runnable
    const TaskState state = task.state.load(std::memory_order_acquire);
    if (state == TaskState::kFree || state == TaskState::kNew || state == TaskState::kEnded) return;
    const UnstableReads reads;
    if (task.scheduler != this) return;
    task.state.store(TaskState::kEnded, std::memory_order_relaxed);
  });
}

absl::StatusOr<std::shared_ptr<Scheduler>> Scheduler::Start(const Config& config) {
  TickClock::Calibrate();
  CoarseClock::Advance();
  std::shared_ptr<Scheduler> scheduler;
  try {
    scheduler = std::make_shared<Scheduler>(config);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", config.workers, " workers"));
  }
  for (size_t i = 0; i < scheduler->workers_.size(); ++i) {
    try {
      scheduler->StartThread(*scheduler->workers_[i]);
    } catch (const std::exception& error) {  // std::system_error, or no memory
      scheduler->Stop(/*grace_ns=*/1'000'000'000);
      return absl::ResourceExhaustedError(absl::StrCat("the system refused worker thread ", i + 1,
                                                       " of ", config.workers, ": ", error.what()));
    }
  }
  return scheduler;
}

Processor& Scheduler::AddProcessor(bool surplus) {
  const size_t index = processors_.size();
  // virtual time is exact
  const int tick_shift = config_.virtual_time ? 0 : TimerQueue::kTickShift;
  processors_.push_back(
      std::make_unique<Processor>(static_cast<int>(index), surplus, pool_, tick_shift));
  processors_.back()->shuffle =
      static_cast<uint32_t>(config_.schedule_seed * 0x9E3779B97F4A7C15u >> 32) ^
      static_cast<uint32_t>(index + 1);
  if (processors_.back()->shuffle == 0) processors_.back()->shuffle = 1;
  count_.store(index + 1, std::memory_order_release);  // release: pairs with count()
  return *processors_.back();
}

Worker& Scheduler::AddWorker(std::unique_ptr<Worker> added, Processor& processor) {
  const size_t index = workers_.size();
  workers_.push_back(std::move(added));
  Worker& worker = *workers_.back();
  worker.processor = &processor;
  worker.random = 0x9e3779b9u * static_cast<uint32_t>(index + 1);
  processor.worker.store(&worker, std::memory_order_release);  // release: pairs with Sysmon's looks
  worker_count_.store(index + 1, std::memory_order_release);   // release: pairs with worker_count()
  return worker;
}

void Scheduler::StartThread(Worker& worker) {
  running_.fetch_add(1, std::memory_order_relaxed);
  try {
    if (worker.os_thread.joinable()) worker.os_thread.join();  // it has ended: a spare's
    worker.os_thread = std::thread([this, &worker] {
      worker.Run();
      // release: pairs with the acquire in Stop(). The last use of the scheduler by this thread.
      running_.fetch_sub(1, std::memory_order_release);
    });
  } catch (...) {
    running_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
  pthread_setname_np(worker.os_thread.native_handle(),
                     config_.kind == ThreadKind::kService ? "curg-service" : "curg-worker");
}

Scheduler& Scheduler::Service() {
  static Scheduler* const service = [] {
    auto started = Start({.workers = 1, .kind = ThreadKind::kService});
    CURG_CHECK(started.ok(), "the process needs one thread for the runtime's own tasks");
    return (new std::shared_ptr<Scheduler>(*std::move(started)))->get();  // never ends
  }();
  return *service;
}

int Scheduler::Stop(int64_t grace_ns) {
  stopping_.store(true, std::memory_order_seq_cst);  // before the look at the idle list, see
                                                     // Sleep()
  {
    std::lock_guard lock(surplus_lock_);
    while (retired_ != nullptr) Wake(*std::exchange(retired_, retired_->idle_next));
  }
  while (true) {
    Worker* worker;
    {
      std::lock_guard lock(idle_lock_);
      if (idle_ != nullptr) {
        worker = std::exchange(idle_, idle_->idle_next);
        idle_count_.fetch_sub(1, std::memory_order_relaxed);
      } else if (spares_ != nullptr) {
        worker = std::exchange(spares_, spares_->idle_next);
        worker->is_spare = false;
      } else {
        break;
      }
    }
    Wake(*worker);
  }
  const int64_t deadline = MonotonicNow() + grace_ns;
  // Only a task can hold its worker. A worker that has none ends as soon as the kernel lets it run,
  // which on a busy machine may be later than the deadline.
  const auto all_held = [this] {
    return std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) {
             return worker->in_task.load(std::memory_order_relaxed);
           }) >= running_.load(std::memory_order_relaxed);
  };
  // acquire: pairs with the release at the threads' end
  while (running_.load(std::memory_order_acquire) > 0 &&
         (MonotonicNow() < deadline || !all_held())) {
    usleep(50);
  }
  const int held = running_.load(std::memory_order_acquire);
  for (auto& worker : workers_) {
    if (!worker->os_thread.joinable()) continue;
    if (held == 0) {
      worker->os_thread.join();
    } else {
      worker->os_thread.detach();
    }
  }
  return held;
}

// ---- Surplus workers: started by sysmon, ended by themselves.

// With a processor of its own, but no thread yet; null: no memory.
Worker* Scheduler::AddSurplus() {
  try {
    auto worker = std::make_unique<Worker>(*this, nullptr, config_.kind);  // no processor without
    return &AddWorker(std::move(worker), AddProcessor(/*surplus=*/true));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Called by sysmon only, so never twice at a time. False: there are enough, or the system refuses.
bool Scheduler::StartSurplus() {
  {
    std::lock_guard lock(surplus_lock_);
    surplus_active_.fetch_add(1, std::memory_order_relaxed);
    if (retired_ != nullptr) {
      Wake(*std::exchange(retired_, retired_->idle_next));
      return true;
    }
  }
  if (refused_ == nullptr && count() < processors_.capacity() &&
      worker_count() < workers_.capacity()) {
    refused_ = AddSurplus();
  }
  if (refused_ != nullptr) {
    try {
      StartThread(*refused_);
      refused_ = nullptr;
      return true;
    } catch (const std::exception&) {  // std::system_error, or no memory: the next attempt's
    }
  }
  std::lock_guard lock(surplus_lock_);
  surplus_active_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Scheduler::ComeBack(Worker& worker) {
  if (worker.processor->held.exchange(false, std::memory_order_relaxed)) {
    held_count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// relaxed, both: a retirement a moment later is as good.
// The first processor stays: timers from outside are there.
bool Scheduler::MustRetire(const Processor& processor) const {
  const int beyond = limit() - config_.workers;
  if ((!processor.surplus && beyond >= 0) || processor.index == 0) return false;
  return surplus_active_.load(std::memory_order_relaxed) >
         held_count_.load(std::memory_order_relaxed) + beyond;
}

void Scheduler::SetLimit(int workers) {
  limit_.store(std::max(workers, 1), std::memory_order_relaxed);
}

// Gives away what is queued here and sleeps until sysmon wants the worker again.
void Scheduler::Retire(Worker& worker) {
  {
    std::lock_guard lock(surplus_lock_);
    if (!MustRetire(*worker.processor) || stopping_.load(std::memory_order_relaxed)) return;
    surplus_active_.fetch_sub(1, std::memory_order_relaxed);
    worker.asleep.store(1, std::memory_order_relaxed);  // relaxed: published by the lock
    worker.idle_next = retired_;
    retired_ = &worker;
  }
  Processor& processor = *worker.processor;
  while (Task* task = PopLocal(processor)) global_.Push(task);
  processor.timers.MoveTo(processors_.front()->timers);
  FlushCaches(processor);
  if (worker.spinning) {
    worker.spinning = false;
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
  }
  WakeTimekeeper(EarliestTimer());
  WakeOne();
  SleepUntil(worker, TimerQueue::kNever);
}

}  // namespace curg::internal
