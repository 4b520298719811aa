// SPDX-License-Identifier: Apache-2.0
//
// Task: the record of one task (Go's g). Records live in type-stable slabs (task_slab.h): one that
// was freed may be used for another task, but stays a Task for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "runtime/context.h"
#include "runtime/stack_pool.h"
#include "runtime/tag.h"
#include "runtime/task_body.h"
#include "runtime/task_end.h"
#include "runtime/wait_reason.h"

namespace curg::internal {

class Scheduler;
class TaskLocals;

enum class TaskState : uint8_t {
  kFree,      // in a free list
  kNew,       // being made by its spawner, or undone
  kDelayed,   // starts later (delayed_task.h)
  kRunnable,  // in exactly one run queue
  kRunning,   // current on exactly one worker
  kBlocking,  // in Blocking: current on a thread, which may have no processor
  kParked,    // waits; exactly one Unpark will come
  kEnded,     // its stack is gone; the record waits for the handle
};

// What the C++ runtime keeps per thread for exceptions in flight; it moves with the task.
// Layout: __cxa_eh_globals of the Itanium C++ ABI, section 2.2.2; without its padding, so that a
// task's has room for something else.
struct [[gnu::packed, gnu::aligned(4)]] ExceptionState {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

class alignas(64) Task {
 public:
  // --- The first cache line is all of the record that a switch touches.
  Context context;
  ExceptionState exceptions;
  uint32_t since = 0;  // when `state` last changed, by CoarseClock
  const void* wait_object = nullptr;
  std::atomic<WaitReason> wait_reason{WaitReason::kNone};  // relaxed: others look ahead by it
  std::atomic<TaskState> state{TaskState::kFree};          // a hint for others, but for roll_call.h
  bool runtime_task = false;                               // the runtime's own (the profile writer)
  bool is_cold = false;         // while runnable: its stack has probably left the caches
  uint32_t runnable_stamp = 0;  // since when it is runnable, if that is measured
                                // (processor_counters.h)

  // --- Written by whoever owns the task at the time: spawner, worker, waker.
  Task* next = nullptr;  // in a free list, or in the global queue when memory is short
  Scheduler* scheduler = nullptr;
  StackSlot stack;  // empty until first run, unless a warm one was at hand

  // --- Read by its own thread at any instruction (handler), by others only while it does not run.
  std::atomic<const Tag*> tag{nullptr};

  // --- Written by its own thread at a switch, while somebody wants to know (cpu_meter.h).
  std::atomic<int64_t> cpu_ns{0};

  // --- Which roll call it has answered last (roll_call.h).
  std::atomic<uint32_t> roll{0};

  // --- Written by its own thread in Blocking, for dumps. Odd while it is in Blocking; then
  // `blocking_at` is where, on its stack: what was there then stays there. Look at the number
  // before and after reading.
  std::atomic<uint32_t> blocking_calls{0};
  const Registers* blocking_at = nullptr;

  // --- Set by the spawner, then immutable; as is `runtime_task`.
  uint32_t slot_size = 0;    // of the pool the stack belongs to
  uint32_t spawn_stack = 0;  // number of the whole spawn stack, 0: none kept (spawn_stack.h)
  uint64_t id = 0;
  uint64_t spawner_id = 0;
  uintptr_t spawn_pc = 0;
  std::string name;

  // --- The task's own; rarely set.
  TaskLocals* locals = nullptr;  // task_locals.h
  const void* group = nullptr;   // the TaskGroup it is a child of

  TaskEnd<> end;

  TaskBody body;
};

}  // namespace curg::internal
