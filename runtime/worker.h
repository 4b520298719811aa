// SPDX-License-Identifier: Apache-2.0
//
// Worker: a thread that runs tasks (Go's m).
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "runtime/context.h"
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

  // What a task that leaves its worker asks it to do once its context is saved. False: it goes on.
  struct AfterSwitch {
    bool (*commit)(void* arg) = nullptr;
    void* arg = nullptr;
  };

  Scheduler& scheduler;
  Processor* processor;
  const ThreadKind kind;
  Context system;                 // the scheduler loop, on the thread's own stack
  AfterSwitch after_switch;
  bool spinning = false;          // counted in Scheduler's number of spinning workers
  uint32_t random = 0;            // state of the victim choice
  Worker* idle_next = nullptr;    // guarded by the idle list's lock

  // Whether a task has the thread, and may never come back; Stop reads it. Relaxed: a flag alone.
  std::atomic<bool> in_task{false};

  // A futex: 0 awake, 1 asleep or about to be.
  std::atomic<uint32_t> asleep{0};

 private:
  void Execute(Task* task);
  void Resume(Task* task);
};

}  // namespace curg::internal
