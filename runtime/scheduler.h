// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: processors, workers, and who wakes whom. runtime/README.md tells the protocol as a
// story.
//
// No lost wake-ups. Work becomes visible (run queue, run next, global queue, timer) and then the
// submitter looks whether a worker sleeps that should come (WakeOne). A worker that goes to sleep
// does the two in the other order: it announces that it sleeps, then looks for work once more. Each
// side has a full fence between its store and its load, so at least one sees the other:
//
//   submitter   publish work ; fence ; load spinning_, idle_count_
//   sleeper     spinning_ -= 1, idle_count_ += 1 ; fence ; look at every queue ; sleep
//
// Some work is published without a fence: what a yield, a displaced run-next task or a batch from
// the global queue puts into the ring. And a task in run next does not count as work while its
// worker is about to come for it. For these a worker that takes a task looks at what it leaves
// behind (WakeForRest). Until it takes one, its run-next task (if any) is stale, which the sleeper
// does count as work. The taking is a fence where it goes to the ring or the global queue; from
// run next and the batch (run_batch.h) it is none: what is missed then is seen at the worker's next
// look, or by sysmon within 10 ms. A worker that is alone has no fence at all: nobody else can come
// until sysmon starts one, which is because that worker is held.
//
// Wake-ups are throttled: while a worker is spinning (searching, or being woken to search) no other
// is woken; the last spinning worker that finds work wakes one more (EndSpin), so that load
// spreads.
//
// A processor whose task is in Blocking has a worker that will not use it until the task is back.
// What is queued there others can steal, as anywhere; to take the processor itself is one
// compare-and-swap (scheduler_blocking.cc).
//
// Two tasks that take turns on one worker make one of them runnable all the time, and whoever were
// woken for it would find nothing to steal. So a worker that was woken and found nothing naps: it
// sleeps, but looks again after 100 us; and while it naps nobody is woken for a lone run-next task.
// It takes its nap back (napping_) before it looks, with the same two fences as above.
//
// Timers. One sleeping worker at most is the *timekeeper*: it sleeps only until the earliest timer
// of all processors. Whoever adds an earlier one wakes it.
//
// I/O. Once there is a poller (poller.h), the timekeeper sleeps in it instead of on its futex; its
// word `asleep` says so, and whoever wakes it calls Break:
//
//   waker     asleep = 0 or 2, by one read-modify-write ; if it was kAsleepInPoller: Break
//   keeper    asleep: 1 -> kAsleepInPoller, by compare-and-swap ; Wait
//
// If the waker came first, the swap fails and there is no Wait; else the waker has seen
// kAsleepInPoller, and its Break ends the Wait, even if that begins later. Nobody who stays awake
// for long has the role: a worker with nothing to do takes it, one that works looks at the poller
// every now and then (PollIfDue), and where all that are awake run on in one task, sysmon sends
// somebody (PollIsDue).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/global_queue.h"
#include "runtime/options.h"
#include "runtime/poller.h"
#include "runtime/processor.h"
#include "runtime/stack_pool.h"
#include "runtime/task.h"
#include "runtime/wait_limits.h"
#include "runtime/worker.h"

namespace curg {
struct RuntimeStats;
}  // namespace curg

namespace curg::internal {

class Sysmon;
struct ThreadState;

// Hears when workers that were asleep are awake, and when work waits while tasks are in Blocking.
class AwakeListener {
 public:
  // On the worker. Blocks: nothing.
  virtual void OnWorkerAwake() = 0;
  // On any thread. It is to call RetakeBlocked soon, and again and again until that says no.
  // Blocks: nothing.
  virtual void OnBlockedWork() = 0;

 protected:
  ~AwakeListener() = default;
};

class Scheduler : public std::enable_shared_from_this<Scheduler> {
 public:
  struct Config {
    int workers = 1;
    ThreadKind kind = ThreadKind::kWorker;
    size_t slot_size = kDefaultStackSize;
    size_t stacks_max = 0;
    size_t stacks_cached = 1024;
    int blocking_max = 512;
    bool follow_cpus = false;    // the number of workers is that of the CPUs, and changes with it
    bool virtual_time = false;   // with one worker
    uint64_t schedule_seed = 0;  // 0: none
  };

  // Starts the workers. RESOURCE_EXHAUSTED: the kernel refuses threads.
  static absl::StatusOr<std::shared_ptr<Scheduler>> Start(const Config& config);

  // The process's service scheduler: one worker that runs the runtime's own tasks only, and from
  // which nobody steals. Started at first use, never ends. Thread-safe.
  static Scheduler& Service();

  explicit Scheduler(const Config& config);
  ~Scheduler();

  // Makes a task that is not yet runnable, for the calling thread. RESOURCE_EXHAUSTED: no stack for
  // it; INVALID_ARGUMENT: its stack size. Thread-safe. Blocks: nothing.
  absl::StatusOr<Task*> NewTask(ThreadState& thread, const TaskOptions& options,
                                uintptr_t spawn_pc);
  // Undoes NewTask for a task that was never made runnable.
  void DropNewTask(Task* task);

  // Makes `task` runnable: to run next on this worker, or through the global queue from elsewhere.
  // Thread-safe. Blocks: nothing.
  void Ready(Task* task);

  // Puts a task that has left its stack behind all others of its worker. Owner only: the worker.
  // In pick_next.h.
  void ReadyLast(Worker& worker, Task* task);

  // Adds a timer to this worker's processor, or to the first processor's from elsewhere.
  // Thread-safe. Blocks: nothing.
  void AddTimer(Timer* timer);

  // What a task parks with to sleep, on a worker: it is runnable at SleepEnd(task.wait_object), and
  // nobody else may Unpark it. Blocks: nothing.
  static bool CommitSleep(void* task);

  // Asks workers to end when they next look for work, waits for them up to `grace_ns`, and returns
  // how many are still held by their tasks. Their tasks' stacks are not unwound.
  // Blocks: the calling plain thread.
  int Stop(int64_t grace_ns);

  // Installs the one listener, which lives until Stop has returned, or as long as the process where
  // workers are left behind. Null: none any more.
  void SetAwakeListener(AwakeListener* listener) {
    awake_listener_.store(listener, std::memory_order_release);  // release: pairs with
                                                                 // FindRunnable()
  }

  // The poller, made by make() at first use; it lives as long as the scheduler.
  // Thread-safe. Blocks: the thread, briefly.
  Poller& UsePoller(std::unique_ptr<Poller> (*make)());
  // Null: nobody has used I/O yet. Thread-safe.
  // acquire: with UsePoller()
  Poller* poller() const { return poller_.load(std::memory_order_acquire); }

  // Tasks that were made and have not ended. Thread-safe.
  uint64_t TasksAlive() const;

  // Asked to stop when the runtime is shut down. Thread-safe.
  std::stop_source& stop_source() { return stop_source_; }

  // See stats.h. Thread-safe.
  RuntimeStats Stats();

  // The clock of its timers; see MonotonicNow.
  int64_t Now() const {
    // relaxed: a number
    return config_.virtual_time ? virtual_now_.load(std::memory_order_relaxed) : RealNow();
  }
  // For the scheduler's threads; null: the real one.
  const std::atomic<int64_t>* virtual_clock() const {
    return config_.virtual_time ? &virtual_now_ : nullptr;
  }
  // For random choices of worker threads; 0: any.
  uint64_t schedule_seed() const { return config_.schedule_seed; }

  // From now on so many workers are to run, at least one. Others rest when they next look for work;
  // further ones start when there is work, if there may be so many. Thread-safe.
  void SetLimit(int workers);
  int limit() const { return limit_.load(std::memory_order_relaxed); }  // relaxed: a number

  // The configured workers.
  int num_workers() const { return config_.workers; }

  // --- For the workers.
  // The next task to run; waits for one. Null: the scheduler stops. On the system stack.
  Task* FindRunnable(Worker& worker);
  // The next task to run if one is at hand and nothing else is due; else null. On any stack. In
  // pick_next.h.
  Task* PickNext(Worker& worker);
  // As that, or else the task that joins `ending`, the current one: then *joins is set, and it is
  // to be run at once, after FinishJoinedTask.
  Task* PickNextOrJoiner(Worker& worker, const Task& ending, bool* joins);
  // Ends a task that has left its stack for good, and wakes whoever joins it. `joiner` is what
  // TaskEnd::Begin took.
  void FinishTask(Worker& worker, Task* task, uintptr_t joiner);
  // As FinishTask, where PickNextOrJoiner has found the joiner.
  void FinishJoinedTask(Worker& worker, Task* task);
  // For a task that has not begun: whether BindStack would find no stack that is still warm. For a
  // cold one the kernel takes microseconds, guard and first page, while what the task before has
  // locked stays locked: so the worker's loop begins it, which lets that task commit first.
  bool BeginsCold(const Processor& processor, const Task& task) const;
  void BindStack(Processor& processor, Task* task);

  // --- For Blocking (blocking.h), by the task that `worker` runs.
  // Counts one more call, if there may be one and nobody waits for that. EnterBlocking and
  // LeaveBlocking are to follow.
  bool TakeBlockingSlot() {
    // relaxed: who is late may go first
    return gate_waiting_.load(std::memory_order_relaxed) == 0 && CountCall();
  }
  // As that, but waits for it. Blocks: the task.
  WaitStatus AwaitBlockingSlot(const WaitLimits& limits);
  // Gives the processor up. `site` is where in the program; calls from there that were long give it
  // away at once.
  void EnterBlocking(Worker& worker, uintptr_t site);
  // Regains it, or another: `task` may be on another worker when this returns. Blocks: the task.
  void LeaveBlocking(Worker& worker, Task& task, uintptr_t site);

  // Whether anything else wants to run on `worker`.
  bool HasWorkFor(Worker& worker);

 private:
  friend class Sysmon;

  // Workers beyond the configured number, while others are held by tasks that do not come back.
  static constexpr int kSurplusMax = 64;
  // Timers are looked at once in so many tasks while there is work: a clock read costs ten
  // switches.
  static constexpr uint32_t kTimerPeriod = 8;
  // Where nobody is awake, the timers that are due within so long after another one are taken
  // together: to sleep and wake up for each would take longer than all else that a sleep does.
  static constexpr int64_t kTimerGapNs = 50'000;
  // So many sleepers at most are made runnable ahead, their stacks fetched.
  static constexpr uint32_t kFetchedAhead = 32;
  // At most this many tasks in a row from the run-next slot while the ring waits.
  static constexpr uint32_t kNextStreakMax = 32;
  static constexpr int kStealRounds = 4;
  // Tasks that a worker without any takes from the global queue together.
  static constexpr size_t kGlobalBatch = 128;
  static constexpr int64_t kNapNs = 100'000;
  static constexpr int64_t kIdsAtATime = 64;
  // A busy worker looks at the poller this often, if nobody else does, and later by kPollPerTaskNs
  // for each task that waits to run: what it finds goes behind them. If more than kPollRoom of its
  // own wait, or any of all, they go first, unless it has not looked for kPollLateNs.
  static constexpr int64_t kPollPeriodNs = 50'000;
  static constexpr int64_t kPollPerTaskNs = 5'000;
  // It looks at the clock for that twice as often, or a little more.
  static constexpr int64_t kPollLooks = 2;
  static constexpr int64_t kPollLateNs = 1'000'000;
  static constexpr uint32_t kPollRoom = 64;
  // How long the caches of an idle worker's processor keep what they have.
  static constexpr int64_t kCacheIdleNs = 1'000'000'000;
  // How long a spare worker waits for a processor before its thread ends.
  static constexpr int64_t kSpareIdleNs = 5'000'000'000;

  // What a worker looks at before its own queue, once in so many tasks: on the system stack only.
  static bool TimersAreDue(const Processor& processor, uint32_t tick);
  bool IsAnythingDue(const Processor& processor, uint32_t tick) const;

  template <typename LastResort>
  Task* PickNextOr(Worker& worker, LastResort last_resort);
  static bool HasLocalWork(const Processor& processor);
  Task* PopLocal(Processor& processor);
  Task* PopRing(Processor& processor);
  Task* PopBatch(Processor& processor);
  Task* PopUnbatched(Processor& processor);
  bool AdvanceTime();
  Task* PopGlobal(Processor& processor, size_t batch_max);
  Task* RunTimers(Worker& worker, Processor& processor, int64_t now);
  Task* Spin(Worker& worker);
  Task* StealWork(Worker& worker);
  Task* StealStale(Processor& own, Processor& victim);
  bool AnyWork();
  int64_t EarliestTimer() const;
  bool NobodyKeepsTime() const;

  // Makes tasks runnable that were sleepers, the record of each fetched. Thread-safe.
  void ReadySleepers(std::span<Task* const> tasks);
  // Fires what is due on `processor`, and makes runnable up to `sleepers_max` sleepers; returns how
  // many of both. Thread-safe.
  size_t FireDue(Processor& processor, int64_t now, size_t sleepers_max);
  void ReadyHere(Processor& processor, Task* task);
  void ReadyElsewhere(Task* task);
  void PushLocal(Processor& processor, Task* task);
  void PushOverflow(Processor& processor, Task* task);
  void WakeOne();
  void WakeForRest(const Processor& processor);
  void EndSpin(Worker& worker);
  bool Sleep(Worker& worker);
  bool StopSleeping(Worker& worker);
  void SleepUntil(Worker& worker, int64_t deadline);
  void SleepInPoller(Worker& worker, Poller& poller, int64_t deadline);
  int64_t SincePoll() const;
  bool PollIsDue() const;
  void PollIfDue(Worker& worker, uint32_t tick);
  bool BecomeKeeper(Worker& worker);
  int64_t FlushTime(Worker& worker);
  void FlushCaches(Processor& processor);
  void Wake(Worker& worker);
  void WakeTimekeeper(int64_t when);

  // --- Blocking.
  enum class Retake {
    kDone,     // taken; or there is nothing to take
    kSoon,     // there is one that may have to be taken, soon
    kRefused,  // the system refuses a thread, or memory for it
  };
  // Takes processors from calls that were there at the last look; `seen` is the caller's, between
  // looks. Sysmon only.
  Retake RetakeBlocked(std::vector<uint64_t>& seen);
  bool NeedsRetake();
  Retake HandOver(Processor& processor, uint64_t call, bool may_start);
  void AddIdle(Worker& spare, Processor& processor);
  Processor* TakeIdle();
  Processor* TakeBlocked();
  void Assign(Worker& worker, Processor& processor);
  bool BecomeSpare(Worker& worker);
  bool WaitAsSpare(Worker& worker);
  bool StartSpare(Processor& processor);
  bool WaitsForProcessor(const Processor& processor) const;
  void CallForRetake();
  bool CountCall();
  void EndCall();
  void AdmitNext();

  // Processors there are; only grows.
  size_t count() const {
    return count_.load(std::memory_order_acquire);  // acquire: pairs with AddProcessor()
  }
  // Workers there are, those included whose threads have ended; only grows.
  size_t worker_count() const {
    return worker_count_.load(std::memory_order_acquire);  // acquire: pairs with AddWorker()
  }
  // Whether no other worker than one runs. relaxed: who starts one looks for work afterwards
  bool IsAlone() const {
    return config_.workers == 1 && surplus_active_.load(std::memory_order_relaxed) == 0;
  }
  Processor& AddProcessor(bool surplus);
  Worker& AddWorker(std::unique_ptr<Worker> added, Processor& processor);
  Worker* AddSurplus();
  void StartThread(Worker& worker);
  bool StartSurplus();
  void ComeBack(Worker& worker);
  bool MustRetire(const Processor& processor) const;
  void Retire(Worker& worker);

  // Gives the memory of unused stacks and task records back. True: there may be more later.
  bool TrimMemory();

  // Whatever an ended task has but its record and its result.
  void GiveUp(Processor& processor, Task* task);
  StackPool& PoolFor(size_t slot_size);
  absl::Status ReserveStack(Task* task, size_t slot_size, Processor* processor);
  uint64_t NextId(Processor* processor);

  const Config config_;
  std::stop_source stop_source_;
  const bool batches_;  // the kernel lets batches be stolen from, and there is no seed
  StackPool pool_;
  std::mutex other_pools_lock_;
  std::map<size_t, std::unique_ptr<StackPool>> other_pools_;  // guarded by other_pools_lock_

  // Reserved for the most there can be, so that growing moves nothing that others read.
  std::vector<std::unique_ptr<Processor>> processors_;  // count() elements
  std::vector<std::unique_ptr<Worker>> workers_;        // worker_count() elements
  std::atomic<size_t> count_{0};
  std::atomic<size_t> worker_count_{0};
  std::atomic<AwakeListener*> awake_listener_{nullptr};

  std::mutex poller_lock_;  // for making it
  std::atomic<Poller*> poller_{nullptr};
  std::atomic<uint64_t> polled_at_{0};  // TickClock; relaxed: a hint

  std::atomic<int64_t> virtual_now_{RealNow()};

  std::mutex surplus_lock_;
  Worker* retired_ = nullptr;           // guarded by surplus_lock_
  Worker* refused_ = nullptr;           // a surplus one without a thread; sysmon's
  std::atomic<int> surplus_active_{0};  // workers that run beyond the configured number; negative:
                                        // fewer; changes under surplus_lock_
  std::atomic<int> limit_;              // see SetLimit()
  std::atomic<int> held_count_{0};      // workers whose `held` is set

  GlobalQueue<Task> global_;

  alignas(64) std::atomic<int> spinning_{0};  // workers that search, or were woken to
  std::atomic<int> idle_count_{0};            // length of idle_
  std::atomic<bool> napping_{false};          // a sleeping worker will look again by itself
  std::atomic<bool> stopping_{false};
  std::atomic<Worker*> timekeeper_{nullptr};
  std::atomic<int64_t> timekeeper_deadline_{TimerQueue::kNever};
  int64_t timers_not_before_ = 0;  // the timekeeper's: when it may wake up for a timer again

  alignas(64) SpinLock idle_lock_;
  // All guarded by idle_lock_; last in, first out: its caches are warm.
  Worker* idle_ = nullptr;    // asleep, with a processor
  Worker* spares_ = nullptr;  // asleep, without one
  Worker* ended_ = nullptr;   // spares whose threads have ended, or are about to

  // --- Blocking; scheduler_blocking.cc.
  struct GateWaiter;
  alignas(64) std::atomic<bool> any_blocked_{false};  // some processor's task may be in Blocking
  std::atomic<bool> retake_called_{false};            // the listener was told, and has not done yet
  std::atomic<int> detached_{0};                      // tasks in Blocking whose processor was taken
  alignas(64) std::atomic<int> calls_{0};             // tasks in Blocking, at most
                                                      // Config::blocking_max
  std::atomic<int> gate_waiting_{0};                  // length of the queue below
  SpinLock gate_lock_;
  GateWaiter* gate_first_ = nullptr;                 // guarded by gate_lock_
  GateWaiter* gate_last_ = nullptr;                  // guarded by gate_lock_
  std::array<std::atomic<bool>, 256> long_sites_{};  // by hash of the call site: the last call was
                                                     // long

  // What plain threads and other schedulers' workers do here, see ProcessorCounters. Relaxed, all.
  alignas(64) std::atomic<uint64_t> spawned_outside_{0};
  std::atomic<uint64_t> readied_outside_{0};
  std::atomic<uint64_t> ended_outside_{0};

  std::atomic<int> running_{0};  // worker threads not yet ended
};

}  // namespace curg::internal
