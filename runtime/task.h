// SPDX-License-Identifier: Apache-2.0
//
// Task: the record of one task (Go's g). Records live in type-stable slabs (task_slab.h): one that
// was freed may be used for another task, but stays a Task for ever.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

#include "runtime/context.h"
#include "runtime/stack_bounds.h"
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

// What few tasks have. It lies in the memory of a record that is no task meanwhile, an *annex*: so
// a late look at it reads a record, too.
struct TaskExtra {
  std::string name;
  TaskLocals* locals = nullptr;  // task_locals.h
};

class alignas(64) Task {
 public:
  // --- The first cache line is all of the record that a switch touches, or making it runnable.
  Context context;  // until it has a stack, stack() is {0, the size of what it will have}
  ExceptionState exceptions;
  uint32_t since = 0;  // when `state` last changed, by CoarseClock
  const void* wait_object = nullptr;
  std::atomic<WaitReason> wait_reason{WaitReason::kNone};  // relaxed: others look ahead by it
  std::atomic<TaskState> state{TaskState::kFree};          // a hint for others, but for roll_call.h
  bool runtime_task = false;                               // the runtime's own (the profile writer)
  bool is_cold = false;         // while runnable: its stack has probably left the caches
  uint32_t runnable_stamp = 0;  // since when it is runnable, if that is measured
                                // (processor_counters.h)
  Scheduler* scheduler = nullptr;

  // --- The second: with the first, what a dump or a handler reads.
  TaskEnd<> end;
  // Read by its own thread at any instruction (handler), by others only while it does not run.
  std::atomic<const Tag*> tag{nullptr};
  // Written by its own thread at a switch, while somebody wants to know (cpu_meter.h).
  std::atomic<int64_t> cpu_ns{0};
  // Which roll call it has answered last (roll_call.h).
  std::atomic<uint32_t> roll{0};
  // Set by the spawner, then immutable; as is `runtime_task`.
  uint32_t spawn_stack = 0;  // number of the whole spawn stack, 0: none kept (spawn_stack.h)
  uint64_t id = 0;
  uint64_t spawner_id = 0;
  uintptr_t spawn_pc = 0;
  // The record that holds the extra part; null: there is none. The task's until its end
  // (task_extra.h).
  std::atomic<Task*> annex{nullptr};

  // --- The third: its beginning and its end.
  TaskBody body;
  union {
    Task* next = nullptr;          // in a free list, or in the global queue when memory is short
    const Registers* blocking_at;  // in Blocking: where that was called, on its stack; for dumps
  };
  const void* group = nullptr;  // the TaskGroup it is a child of

  // Those that a handler calls are always inlined: it must not be instrumented by the thread
  // sanitizer.

  [[gnu::always_inline]] bool HasStack() const { return context.stack().low != 0; }
  // Of one that does not run.
  bool HasBegun() const { return context.hot() != nullptr; }
  // Null: there is none.
  [[gnu::always_inline]] TaskExtra* extra() const {
    Task* const record = annex.load(std::memory_order_acquire);  // acquire: pairs with ExtraOf()
    if (record == nullptr) return nullptr;
    return std::launder(reinterpret_cast<TaskExtra*>(record->body.storage));
  }
  // Empty: it has none. Valid while the task lives; for others CopyTaskName (task_name.h).
  // Async-signal-safe.
  [[gnu::always_inline]] std::string_view name() const {
    const TaskExtra* const found = extra();
    return found != nullptr ? std::string_view(found->name) : std::string_view("");
  }
  TaskLocals* locals() const {
    const TaskExtra* const found = extra();
    return found != nullptr ? found->locals : nullptr;
  }
};

static_assert(sizeof(TaskExtra) <= TaskBody::kInlineBytes, "an annex holds the extra part");
#if !defined(CURG_ASAN) && !defined(CURG_TSAN)
static_assert(sizeof(Task) == 192, "three cache lines");
static_assert(offsetof(Task, end) == 64 && offsetof(Task, body) == 128);
#endif

}  // namespace curg::internal
