// SPDX-License-Identifier: Apache-2.0
//
// Worker: a thread that runs tasks (Go's m). To run them it needs a processor; without one it is a
// *spare*, or its task is in Blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "runtime/context.h"
#include "runtime/cpu_placement.h"
#include "runtime/task.h"
#include "runtime/thread_registry.h"
#include "runtime/thread_state.h"

namespace curg::internal {

struct Processor;

// Owner only, except where it says otherwise: the thread itself.
class Worker {
 public:
  Worker(Scheduler& scheduler, Processor* processor, ThreadKind kind)
      : scheduler(scheduler), processor(processor), kind(kind) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Runs tasks until the scheduler stops.
  void Run();

  // What a task that leaves its stack asks whoever runs next on this worker to do once its context
  // is saved.
  // False: the task goes on, soon.
  struct AfterSwitch {
    bool (*commit)(void* arg) = nullptr;
    void* arg = nullptr;
    Task* task = nullptr;
  };

  // The task it runs, or null.
  Task* current() const { return thread->current.load(std::memory_order_relaxed); }

  // Leaves the current task's stack: for the next task's, if one is at hand, else for the system
  // stack. Returns when the task is resumed, perhaps on another worker. In switch_away.h.
  void SwitchAway(Task& task, bool (*commit)(void* arg), void* arg);

  // As SwitchAway, for the current task to go on soon, behind all others of this worker. False:
  // nobody else wants to run here, and it has not left. In switch_away.h.
  bool Yield(Task& task);

  // As SwitchAway, at the current task's end; for whoever joins it, if that one waits here. The
  // last thing a task's stack sees; returns never.
  static void EndTask(Task& task);

  // As SwitchAway, without a processor: to the system stack.
  void LeaveWithoutProcessor(Task& task, bool (*commit)(void* arg), void* arg);

  // Calls call(arg), which must not throw, on the system stack; the current task stays what it is.
  void CallOnSystemStack(Task& task, void (*call)(void* arg), void* arg);

  // On the new stack, after every switch.
  void FinishSwitch();

  Scheduler& scheduler;
  // Null for a spare. While it is in the idle list or among the spares, others may change it under
  // the lock.
  Processor* processor;
  const ThreadKind kind;
  Context system;  // the scheduler loop, on the thread's own stack
  AfterSwitch after_switch;
  Task* cold = nullptr;  // for the scheduler's loop to begin (Scheduler::BeginsCold)
  // The thread's; asked for once, and never kept in a task.
  ExceptionState* exceptions = nullptr;
  ThreadState* thread = nullptr;
  bool spinning = false;        // counted in Scheduler's number of spinning workers
  bool summoned = false;        // woken to search, and has found nothing yet
  uint32_t random = 0;          // state of the victim choice
  Worker* idle_next = nullptr;  // guarded by the idle list's lock, or by the surplus list's
  bool is_spare = false;        // guarded by the idle list's lock
  Context called;               // what OnSystemStack runs, below `system`
  bool holds_signals = false;   // in Blocking, while a dump asks running threads (blocking.cc)
  uint64_t blocking_call = 0;   // number of the call of Blocking its task is in
  uint32_t blocking_tick = 0;   // the processor's tick at its beginning
  uint64_t handed_over_at = 0;  // TickClock; 0: it did not give the processor away at once

  // Whether a task has the thread, and may never come back; Stop reads it. Relaxed: a flag alone.
  std::atomic<bool> in_task{false};

  CpuPlacement placement;

  // A futex: 0 awake; 1 asleep, or about to be; 2 told to look at the timers again;
  // kAsleepInPoller.
  static constexpr uint32_t kAsleepInPoller = 3;
  std::atomic<uint32_t> asleep{0};

  // The thread, once it runs and as long as it does; for sysmon.
  std::atomic<pid_t> tid{0};
  std::atomic<const ThreadState*> thread_state{nullptr};

  std::thread os_thread;  // started and joined by sysmon, or before it starts and after it has
                          // stopped

 private:
  void Execute(Task* task);
  void Begin(Task& task);
  void Prepare(Task& task, bool begins);
  // A null `commit`: the task goes behind all others of this worker.
  void SwitchTo(Task* next, Task& task, bool (*commit)(void* arg), void* arg);
  Context& LeaveFor(Task& task, Task* next);
};

}  // namespace curg::internal
