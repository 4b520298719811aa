// SPDX-License-Identifier: Apache-2.0
#include "runtime/scheduler.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/asymmetric_fence.h"
#include "runtime/check.h"
#include "runtime/cpu_meter.h"
#include "runtime/futex.h"
#include "runtime/joiner.h"
#include "runtime/park.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

#ifdef CURG_TSAN
// The sanitizer ends at about 8100 fibers, ended ones that it still remembers included.
constexpr int kTasksMaxUnderTsan = 4000;
std::atomic<int> g_tasks_under_tsan{0};
#endif

std::atomic<uint64_t> g_next_id{1};
// The runtime's own tasks are numbered apart, so that the program's first task is task 1.
std::atomic<uint64_t> g_next_service_id{uint64_t{1} << 62};

// How long a run-next slot must have been left alone before a thief may have it (Go waits 3 us): less
// would pull apart tasks that take turns on one worker.
constexpr int kStalePauses = 64;

// Whether tasks have waited in `victim`'s run-next slot or batch, and none was run, for a while.
bool IsStale(Processor& victim) {
  const auto waiting = [&] { return victim.queue.next() != nullptr || !victim.batch.Empty(); };
  if (!waiting()) return false;
  const uint32_t tick = victim.tick.load(std::memory_order_relaxed);  // relaxed: a hint
  for (int i = 0; i < kStalePauses; ++i) __builtin_ia32_pause();
  return victim.tick.load(std::memory_order_relaxed) == tick && waiting();
}

// A long name's memory is not the record's to keep.
void ClearName(Task& task) { std::string().swap(task.name); }

uint32_t NextRandom(uint32_t& state) {  // xorshift32 (Marsaglia 2003)
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

}  // namespace

// ---- Start and stop.

Scheduler::Scheduler(const Config& config)
    : config_(config), batches_(RegisterAsymmetricFence()), pool_(config.slot_size, config.stacks_max) {
  processors_.reserve(static_cast<size_t>(config.workers) + kSurplusMax);
  workers_.reserve(processors_.capacity());
  for (int i = 0; i < config.workers; ++i) AddWorker(/*surplus=*/false);
}

// Abandoned tasks lose their stacks; whoever walks the slabs must not look for them.
Scheduler::~Scheduler() {
  TaskSlab::Instance().ForEach([this](Task& task) {
    if (task.state.load(std::memory_order_acquire) != TaskState::kParked) return;
    if (task.scheduler == this) task.state.store(TaskState::kEnded, std::memory_order_relaxed);
  });
}

absl::StatusOr<std::shared_ptr<Scheduler>> Scheduler::Start(const Config& config) {
  TickClock::Calibrate();
  auto scheduler = std::make_shared<Scheduler>(config);
  for (auto& worker : scheduler->workers_) {
    try {
      scheduler->StartThread(*worker);
    } catch (const std::system_error& error) {
      const size_t started = scheduler->threads_.size();
      scheduler->Stop(/*grace_ns=*/1'000'000'000);
      return absl::ResourceExhaustedError(absl::StrCat("the system refused worker thread ", started + 1,
                                                       " of ", config.workers, ": ", error.what()));
    }
  }
  return scheduler;
}

Worker& Scheduler::AddWorker(bool surplus) {
  const size_t index = processors_.size();
  processors_.push_back(std::make_unique<Processor>(static_cast<int>(index), pool_));
  workers_.push_back(
      std::make_unique<Worker>(*this, processors_.back().get(), config_.kind, surplus));
  workers_.back()->random = 0x9e3779b9u * static_cast<uint32_t>(index + 1);
  count_.store(index + 1, std::memory_order_release);  // release: pairs with count()
  return *workers_.back();
}

void Scheduler::StartThread(Worker& worker) {
  running_.fetch_add(1, std::memory_order_relaxed);
  try {
    threads_.emplace_back([this, &worker] {
      worker.Run();
      // release: pairs with the acquire in Stop(). The last use of the scheduler by this thread.
      running_.fetch_sub(1, std::memory_order_release);
    });
  } catch (...) {
    running_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
  pthread_setname_np(threads_.back().native_handle(),
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
  stopping_.store(true, std::memory_order_seq_cst);  // before the look at the idle list, see Sleep()
  {
    std::lock_guard lock(surplus_lock_);
    while (retired_ != nullptr) Wake(*std::exchange(retired_, retired_->idle_next));
  }
  while (true) {
    Worker* worker;
    {
      std::lock_guard lock(idle_lock_);
      worker = idle_;
      if (worker == nullptr) break;
      idle_ = worker->idle_next;
      idle_count_.fetch_sub(1, std::memory_order_relaxed);
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
  for (std::thread& thread : threads_) {
    if (held == 0) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  threads_.clear();
  return held;
}

// ---- Tasks.

uint64_t Scheduler::NextId(Processor* processor) {
  // relaxed, all: ids need only be distinct
  if (config_.kind == ThreadKind::kService) {
    return g_next_service_id.fetch_add(1, std::memory_order_relaxed);
  }
  if (processor == nullptr) return g_next_id.fetch_add(1, std::memory_order_relaxed);
  if (processor->id_next == processor->id_limit) {
    processor->id_next = g_next_id.fetch_add(kIdsAtATime, std::memory_order_relaxed);
    processor->id_limit = processor->id_next + kIdsAtATime;
  }
  return processor->id_next++;
}

StackPool& Scheduler::PoolFor(size_t slot_size) {
  if (slot_size == config_.slot_size) return pool_;
  std::lock_guard lock(other_pools_lock_);
  std::unique_ptr<StackPool>& pool = other_pools_[slot_size];
  if (pool == nullptr) pool = std::make_unique<StackPool>(slot_size, config_.stacks_max);
  return *pool;
}

bool Scheduler::TrimMemory() {
  bool more = pool_.TrimUnused(config_.stacks_cached);
  more |= TaskSlab::Instance().TrimUnused();
  std::lock_guard lock(other_pools_lock_);
  for (auto& [slot_size, pool] : other_pools_) more |= pool->TrimUnused(/*keep=*/0);
  return more;
}

absl::Status Scheduler::ReserveStack(Task* task, size_t slot_size, Processor* processor) {
  task->slot_size = slot_size;
  if (processor != nullptr && slot_size == config_.slot_size) {
    return processor->stacks.Reserve(&task->stack);
  }
  size_t taken;
  return PoolFor(slot_size).TakeCredits(1, &taken);
}

absl::StatusOr<Task*> Scheduler::NewTask(const TaskOptions& options, uintptr_t spawn_pc) {
  size_t slot_size = config_.slot_size;
  if (options.stack_size != 0) {
    if (absl::Status status = SlotSizeFor(options.stack_size, &slot_size); !status.ok()) return status;
  }
#ifdef CURG_TSAN
  if (g_tasks_under_tsan.fetch_add(1) >= kTasksMaxUnderTsan) {
    g_tasks_under_tsan.fetch_sub(1);
    return absl::ResourceExhaustedError(absl::StrCat(
        "the thread sanitizer follows at most ", kTasksMaxUnderTsan, " tasks; start fewer at a time"));
  }
#endif
  Worker* const worker = CurrentWorker();
  Processor* const processor =
      worker != nullptr && &worker->scheduler == this ? worker->processor : nullptr;
  Task* const task = processor != nullptr ? processor->tasks.Take() : TaskSlab::Instance().Take(1);
  if (absl::Status status = ReserveStack(task, slot_size, processor); !status.ok()) {
#ifdef CURG_TSAN
    g_tasks_under_tsan.fetch_sub(1);
#endif
    TaskSlab::Instance().Return(task, task);
    return status;
  }

  ThreadState& thread = ThisThread();
  const Task* const spawner = thread.current.load(std::memory_order_relaxed);  // relaxed: see ThreadState
  const Tag* tag;
  if (options.tag.has_value()) {
    tag = TagRef(*options.tag).release();
    if (tag != nullptr) tag->ShowRelease();
  } else {
    tag = (spawner != nullptr ? spawner->tag : thread.plain_tag).load(std::memory_order_relaxed);
    if (processor != nullptr) {
      processor->tags.Ref(tag);
    } else if (tag != nullptr) {
      tag->Ref();
    }
  }
  task->tag.store(tag, std::memory_order_relaxed);  // relaxed: published with the task
  task->scheduler = this;
  task->cpu_ns.store(0, std::memory_order_relaxed);
  task->id = NextId(processor);
  task->spawner_id = spawner != nullptr ? spawner->id : 0;
  task->spawn_pc = spawn_pc;
  task->runtime_task = config_.kind == ThreadKind::kService;
  if (!options.name.empty()) task->name.assign(options.name);
  task->end.store(0, std::memory_order_relaxed);
  task->state.store(TaskState::kNew, std::memory_order_relaxed);
  if (processor != nullptr) {
    processor->counters.spawned.Add();
  } else {
    spawned_outside_.fetch_add(1, std::memory_order_relaxed);
  }
  return task;
}

void Scheduler::DropNewTask(Task* task) {
  ended_outside_.fetch_add(1, std::memory_order_relaxed);
  if (const Tag* tag = task->tag.exchange(nullptr, std::memory_order_relaxed)) tag->Unref();
  StackPool& pool = PoolFor(task->slot_size);
  if (task->stack) {
    pool.ReturnSlots(&task->stack, 1);
  } else {
    pool.ReturnCredits(1);
  }
  task->stack = {};
  ClearName(*task);
  task->state.store(TaskState::kFree, std::memory_order_relaxed);
#ifdef CURG_TSAN
  g_tasks_under_tsan.fetch_sub(1);
#endif
  TaskSlab::Instance().Return(task, task);
}

void Scheduler::BindStack(Processor& processor, Task* task) {
  if (task->stack) return;  // a warm one was at hand when it was spawned
  task->stack = task->slot_size == config_.slot_size ? processor.stacks.Bind()
                                                     : PoolFor(task->slot_size).TakeSlot();
}

void Scheduler::FinishTask(Worker& worker, Task* task) {
  Processor& processor = *worker.processor;
  task->context.Finish();
  if (task->slot_size == config_.slot_size) {
    processor.stacks.Release(task->stack);
  } else {
    PoolFor(task->slot_size).ReturnSlots(&task->stack, 1);
  }
  task->stack = {};
  processor.tags.Unref(task->tag.exchange(nullptr, std::memory_order_relaxed));
  if (!task->name.empty()) ClearName(*task);
  task->state.store(TaskState::kEnded, std::memory_order_relaxed);
  processor.counters.ended.Add();
#ifdef CURG_TSAN
  g_tasks_under_tsan.fetch_sub(1);
#endif
  // acq_rel: publishes the result to the joiner, who loads `end` with acquire, and takes the joiner's
  // Waiter, stored with release.
  const uintptr_t end = task->end.exchange(Task::kDone, std::memory_order_acq_rel);
  if (end == Task::kDetached) {
    task->state.store(TaskState::kFree, std::memory_order_relaxed);
    processor.tasks.Return(task);
  } else if (end > Task::kEnding) {
    WakeJoiner(end);
  }
}

// ---- Making runnable.

void Scheduler::PushLocal(Processor& processor, Task* task) {
  while (!processor.queue.Push(task)) {
    std::array<Task*, RunQueue<>::kHalf> half;
    const size_t count = processor.queue.PopHalf(half);
    if (count == 0) continue;
    for (size_t i = 0; i + 1 < count; ++i) half[i]->next = half[i + 1];
    half[count - 1]->next = task;
    task->next = nullptr;
    return global_.PushList(half[0], task, count + 1);
  }
}

void Scheduler::Ready(Task* task) {
  task->state.store(TaskState::kRunnable, std::memory_order_relaxed);  // relaxed: a hint
  Worker* const worker = CurrentWorker();
  if (worker != nullptr && &worker->scheduler == this) {
    Processor& processor = *worker->processor;
    processor.counters.OnRunnable(*task);
    Task* const displaced = processor.queue.ExchangeNext(task);
    if (displaced != nullptr) PushLocal(processor, displaced);
    WakeOne();
    return;
  }
  // Once pushed, the task may run to the program's end and the runtime be destroyed, while this thread
  // still looks for a worker to wake.
  const std::shared_ptr<Scheduler> keep = weak_from_this().lock();
  if (readied_outside_.fetch_add(1, std::memory_order_relaxed) % ProcessorCounters::kLatencySample == 0) {
    ProcessorCounters::Stamp(*task);
  }
  global_.Push(task);
  WakeOne();
}

void Scheduler::ReadyLast(Worker& worker, Task* task) {
  task->state.store(TaskState::kRunnable, std::memory_order_relaxed);
  worker.processor->counters.OnRunnable(*task);
  PushLocal(*worker.processor, task);
}

void Scheduler::AddTimer(Timer* timer) {
  Worker* const worker = CurrentWorker();
  const bool here = worker != nullptr && &worker->scheduler == this;
  Processor& processor = here ? *worker->processor : *processors_.front();
  const int64_t when = timer->when;  // the timer may have fired when Add returns
  if (processor.timers.Add(timer)) WakeTimekeeper(when);
}

// ---- Sleeping and waking; the protocol is in the header.

void Scheduler::Wake(Worker& worker) {
  worker.asleep.store(0, std::memory_order_release);  // release: pairs with the acquires in Sleep()
  FutexWake(worker.asleep);
}

void Scheduler::WakeOne() {
  // seq_cst, both: after the caller's publication of work (a full fence, see RunQueue and GlobalQueue).
  while (idle_count_.load(std::memory_order_seq_cst) > 0 &&
         spinning_.load(std::memory_order_seq_cst) == 0) {
    int none = 0;
    if (!spinning_.compare_exchange_strong(none, 1, std::memory_order_seq_cst)) return;
    Worker* worker = nullptr;
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
      worker->spinning = true;  // published by Wake
      return Wake(*worker);
    }
    // Nobody slept. But whoever goes to sleep just now, or submits, may have relied on us: look again.
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

// Took a task without having spun; what this worker put into its queue without waking anybody may be left.
void Scheduler::WakeForRest(const Processor& processor) {
  if (idle_count_.load(std::memory_order_seq_cst) == 0) return;
  if (processor.queue.size() > 0 || processor.queue.next() != nullptr || !processor.batch.Empty()) WakeOne();
}

// Found work while spinning. If more is left, the next one comes searching.
void Scheduler::EndSpin(Worker& worker) {
  worker.spinning = false;
  // seq_cst: before the look at the queues, as others who saw us spinning did not wake anybody
  spinning_.fetch_sub(1, std::memory_order_seq_cst);
  if (idle_count_.load(std::memory_order_seq_cst) == 0) return;
  const bool nobody_keeps_time = timekeeper_.load(std::memory_order_seq_cst) == nullptr &&
                                 EarliestTimer() != TimerQueue::kNever;
  if (nobody_keeps_time || AnyWork()) WakeOne();
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
    if (processors_[i]->queue.size() > 0 || IsStale(*processors_[i])) return true;
  }
  const int64_t earliest = EarliestTimer();
  return earliest != TimerQueue::kNever && earliest <= MonotonicNow();
}

// A new earliest timer: the timekeeper must sleep less. Where there is none, somebody becomes it.
void Scheduler::WakeTimekeeper(int64_t when) {
  // seq_cst, both: after the timer was published; SleepUntil's caller looks the other way round.
  Worker* const keeper = timekeeper_.load(std::memory_order_seq_cst);
  if (keeper == nullptr) return WakeOne();
  if (when >= timekeeper_deadline_.load(std::memory_order_seq_cst)) return;
  uint32_t asleep = 1;
  if (keeper->asleep.compare_exchange_strong(asleep, 2, std::memory_order_seq_cst)) {
    FutexWake(keeper->asleep);
  }
}

// Takes a worker that woke by itself out of the idle list, to search. False: somebody else had
// taken it out, and has woken it.
bool Scheduler::StopSleeping(Worker& worker) {
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
  }
  // acquire: pairs with the release in Wake(), after which `spinning` is ours again
  for (uint32_t asleep; (asleep = worker.asleep.load(std::memory_order_acquire)) != 0;) {
    FutexWait(worker.asleep, asleep);
  }
  return false;
}

void Scheduler::SleepUntil(Worker& worker, int64_t deadline) {
  // acquire: pairs with the release in Wake()
  while (worker.asleep.load(std::memory_order_acquire) == 1) {
    if (!FutexWait(worker.asleep, 1, deadline)) return;
  }
}

void Scheduler::FlushCaches(Processor& processor) {
  processor.stacks.Flush();
  processor.tasks.Flush();
  processor.tags.Clear();
}

// Once a second at most a worker that has nothing to do gives back what its processor's caches hold: at once,
// or after having slept until then. It is in the idle list meanwhile, which makes no difference to it.
void Scheduler::SleepThenFlush(Worker& worker, int64_t deadline) {
  Processor& processor = *worker.processor;
  if (!processor.stacks.Empty() || !processor.tasks.Empty()) {
    const int64_t now = MonotonicNow();
    if (processor.flush_at == 0) processor.flush_at = now + kCacheIdleNs;
    if (now < processor.flush_at && processor.flush_at < deadline) SleepUntil(worker, processor.flush_at);
    if (worker.asleep.load(std::memory_order_acquire) != 1) return;
    if (MonotonicNow() >= processor.flush_at) {
      FlushCaches(processor);
      worker.thread->meter->ReleaseIfOff();
      processor.flush_at = 0;
      // acquire: pairs with the release in SetAwakeListener()
      if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire)) {
        listener->OnWorkerAwake();  // sysmon: there is memory to look at
      }
    }
  }
  SleepUntil(worker, deadline);
}

void Scheduler::Sleep(Worker& worker) {
  worker.asleep.store(1, std::memory_order_relaxed);  // relaxed: published by the lock
  // Once in the list, `spinning` is for whoever wakes us to set.
  const bool was_spinning = std::exchange(worker.spinning, false);
  {
    std::lock_guard lock(idle_lock_);
    worker.idle_next = idle_;
    idle_ = &worker;
  }
  idle_count_.fetch_add(1, std::memory_order_seq_cst);
  if (was_spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
  // Announced; now the look that no submitter can have missed.
  if (AnyWork() || stopping_.load(std::memory_order_seq_cst)) {
    StopSleeping(worker);
    return;
  }
  worker.processor->counters.sleeps.Add();
  int64_t deadline = TimerQueue::kNever;
  Worker* nobody = nullptr;
  const bool keeper = timekeeper_.compare_exchange_strong(nobody, &worker, std::memory_order_seq_cst);
  // A timer added after this loop's look finds a deadline that is later, and wakes us.
  for (int64_t earliest; keeper && (earliest = EarliestTimer()) < deadline;) {
    deadline = earliest;
    timekeeper_deadline_.store(deadline, std::memory_order_seq_cst);
  }
  SleepThenFlush(worker, deadline);
  if (keeper) {
    timekeeper_deadline_.store(TimerQueue::kNever, std::memory_order_seq_cst);
    timekeeper_.store(nullptr, std::memory_order_seq_cst);
  }
  if (worker.asleep.load(std::memory_order_acquire) != 0) StopSleeping(worker);
}

// ---- Surplus workers: started by sysmon, ended by themselves.

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
  if (count() < workers_.capacity()) {
    try {
      StartThread(AddWorker(/*surplus=*/true));
      return true;
    } catch (const std::system_error&) {
      // Its processor stays empty; the next attempt takes the next one.
    }
  }
  std::lock_guard lock(surplus_lock_);
  surplus_active_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Scheduler::ComeBack(Worker& worker) {
  if (worker.held.exchange(false, std::memory_order_relaxed)) {
    held_count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// relaxed, both: a retirement a moment later is as good.
bool Scheduler::MustRetire() const {
  return surplus_active_.load(std::memory_order_relaxed) > held_count_.load(std::memory_order_relaxed);
}

// Gives away what is queued here and sleeps until sysmon wants the worker again.
void Scheduler::Retire(Worker& worker) {
  {
    std::lock_guard lock(surplus_lock_);
    if (!MustRetire() || stopping_.load(std::memory_order_relaxed)) return;
    surplus_active_.fetch_sub(1, std::memory_order_relaxed);
    worker.asleep.store(1, std::memory_order_relaxed);  // relaxed: published by the lock
    worker.idle_next = retired_;
    retired_ = &worker;
  }
  Processor& processor = *worker.processor;
  if (Task* task = processor.queue.ExchangeNext(nullptr)) global_.Push(task);
  while (Task* task = PopRing(processor)) global_.Push(task);
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

// ---- Finding work.

Task* Scheduler::PopLocal(Processor& processor) {
  if (processor.queue.next() != nullptr &&
      (processor.next_streak < kNextStreakMax || processor.queue.size() == 0)) {
    if (Task* task = processor.queue.ExchangeNext(nullptr)) {
      ++processor.next_streak;
      return task;
    }
  }
  processor.next_streak = 0;
  if (Task* task = PopRing(processor)) return task;
  return processor.queue.next() != nullptr ? processor.queue.ExchangeNext(nullptr) : nullptr;
}

// The ring, through the batch. What comes after is fetched ahead: the record two tasks before it runs,
// the stack one before.
Task* Scheduler::PopRing(Processor& processor) {
  if (Task* task = processor.batch.Pop()) {
    if (const Task* next = processor.batch.Peek(0)) __builtin_prefetch(next->context.hot());
    if (const Task* next = processor.batch.Peek(1)) __builtin_prefetch(next);
    return task;
  }
  if (!batches_) return processor.queue.Pop();
  std::array<Task*, RunBatch<Task>::kSize + 1> tasks;
  const size_t count = processor.queue.PopBatch(tasks);
  if (count == 0) return nullptr;
  if (count > 1) {
    for (size_t i = 1; i < count; ++i) __builtin_prefetch(tasks[i]);
    processor.batch.Fill(std::span(tasks).subspan(1, count - 1));
  }
  return tasks[0];
}

Task* Scheduler::PopGlobal(Processor& processor, size_t batch_max) {
  const size_t share = global_.size() / static_cast<size_t>(config_.workers) + 1;
  Task* const first = global_.PopBatch(std::min(share, batch_max));
  if (first == nullptr) return nullptr;
  for (Task* task = first->next; task != nullptr;) {
    Task* const next = task->next;
    PushLocal(processor, task);
    task = next;
  }
  return first;
}

Task* Scheduler::RunTimers(Worker& worker, Processor& processor, int64_t now) {
  if (processor.timers.RunDue(now) == 0) return nullptr;
  return PopLocal(*worker.processor);
}

// What a processor that stands still was about to run. `own` is empty.
Task* Scheduler::StealStale(Processor& own, Processor& victim) {
  if (!IsStale(victim)) return nullptr;
  if (Task* task = victim.queue.ExchangeNext(nullptr)) {
    own.counters.steals.Add();
    own.counters.stolen.Add();
    return task;
  }
  std::array<Task*, RunBatch<Task>::kSize> stolen;
  const size_t count = victim.batch.Steal(stolen);
  if (count > 0) {
    own.counters.steals.Add();
    own.counters.stolen.Add(count);
  }
  for (size_t i = 1; i < count; ++i) PushLocal(own, stolen[i]);
  return count > 0 ? stolen[0] : nullptr;
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
    if (global_.size() > 0) return PopGlobal(own, RunQueue<>::kHalf);
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

// As the first half of FindRunnable, for a task that leaves its stack: what is due only now and then is left
// to that.
Task* Scheduler::PickNext(Worker& worker) {
  Processor& processor = *worker.processor;
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed) + 1;
  const bool has_timers = processor.timers.Earliest() != TimerQueue::kNever;
  if (tick % kGlobalPeriod == 0 || (has_timers && tick % kTimerPeriod == 0) || worker.surplus ||
      worker.held.load(std::memory_order_relaxed) || stopping_.load(std::memory_order_relaxed)) {
    return nullptr;
  }
  Task* const task = PopLocal(processor);
  if (task == nullptr) return nullptr;
  processor.tick.store(tick, std::memory_order_relaxed);  // relaxed: a hint for thieves
  WakeForRest(processor);
  return task;
}

Task* Scheduler::FindRunnable(Worker& worker) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (worker.held.load(std::memory_order_relaxed)) [[unlikely]] ComeBack(worker);
    if (worker.surplus && MustRetire()) [[unlikely]] Retire(worker);
    Processor& processor = *worker.processor;
    const uint32_t tick = processor.tick.load(std::memory_order_relaxed) + 1;
    processor.tick.store(tick, std::memory_order_relaxed);  // relaxed: a hint for thieves
    const bool has_timers = processor.timers.Earliest() != TimerQueue::kNever;
    Task* task = nullptr;
    if (tick % kGlobalPeriod == 0) task = PopGlobal(processor, 1);
    if (task == nullptr && has_timers && tick % kTimerPeriod == 0) {
      task = RunTimers(worker, processor, MonotonicNow());
    }
    if (task == nullptr) task = PopLocal(processor);
    if (task == nullptr) task = PopGlobal(processor, RunQueue<>::kHalf);
    if (task == nullptr && has_timers) task = RunTimers(worker, processor, MonotonicNow());
    if (task == nullptr) task = Spin(worker);
    if (task != nullptr) {
      if (worker.spinning) {
        EndSpin(worker);
      } else {
        WakeForRest(processor);
      }
      return task;
    }
    Sleep(worker);
    // acquire: pairs with the release in SetAwakeListener()
    if (AwakeListener* listener = awake_listener_.load(std::memory_order_acquire)) {
      listener->OnWorkerAwake();
    }
  }
  return nullptr;
}

bool Scheduler::HasWorkFor(Worker& worker) {
  Processor& processor = *worker.processor;
  if (processor.queue.next() != nullptr || !processor.batch.Empty() || processor.queue.size() > 0 ||
      global_.size() > 0) {
    return true;
  }
  const int64_t earliest = processor.timers.Earliest();
  return (earliest != TimerQueue::kNever && earliest <= MonotonicNow()) ||
         stopping_.load(std::memory_order_relaxed);
}

}  // namespace curg::internal
