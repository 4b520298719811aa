// SPDX-License-Identifier: Apache-2.0
//
// TaskSighting: what a dump learns of one task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/tag.h"
#include "runtime/task.h"
#include "runtime/traceback.h"

namespace curg::internal {

// How a task's stack was come by.
enum class SightingKind : uint8_t {
  kSuspended,     // from its saved context
  kBlocking,      // in Blocking; from where that was called
  kNotStarted,    // it has none yet; the one frame is the function it will call
  kRunning,       // it told itself, in a signal handler or on its way to its end
  kInSystemCall,  // its thread slept in the kernel and was left alone; the stack may lack its root
  kUnreached,     // it runs, and did not answer: no stack
};

// Holds no references: valid until whoever was given it returns.
struct TaskSighting {
  const Task* record = nullptr;          // only an identity
  const Scheduler* scheduler = nullptr;  // likewise
  uint64_t id = 0;
  uint64_t spawner_id = 0;
  uintptr_t spawn_pc = 0;
  uint32_t spawn_stack = 0;
  SightingKind kind = SightingKind::kSuspended;
  TaskState state = TaskState::kFree;
  WaitReason wait_reason = WaitReason::kNone;  // of the last park, where it is not parked any more
  bool runtime_task = false;
  uint32_t since = 0;  // CoarseClock
  const void* wait_object = nullptr;
  uint64_t wait_task = 0;  // the task it joins, 0: none, or not known
  int64_t due = 0;         // when a sleep ends, nanoseconds of CLOCK_MONOTONIC; 0: it is none
  int64_t cpu_ns = 0;      // counted while a CpuAccounting lived, up to its last switch
  size_t stack_size = 0;
  const Tag* tag = nullptr;
  std::string_view name = {};
  std::span<const uintptr_t> stack = {};  // as WalkStack gives it
  uint32_t* note = nullptr;  // the visitor's own word about this very stack, 0 at first; null:
                             // there is none
  TracebackEnd stack_end = TracebackEnd::kRoot;

  // All but name, tag and stack; the state as it is now. Async-signal-safe.
  static TaskSighting Of(const Task& task, SightingKind kind) {
    TaskSighting seen;
    seen.record = &task;
    seen.scheduler = task.scheduler;
    seen.id = task.id;
    seen.spawner_id = task.spawner_id;
    seen.spawn_pc = task.spawn_pc;
    seen.spawn_stack = task.spawn_stack;
    seen.kind = kind;
    seen.state = task.state.load(std::memory_order_relaxed);  // relaxed: whoever calls has ordered
                                                              // it
    seen.wait_reason = task.wait_reason.load(std::memory_order_relaxed);
    seen.runtime_task = task.runtime_task;
    seen.since = task.since;
    seen.wait_object = task.wait_object;
    seen.cpu_ns = task.cpu_ns.load(std::memory_order_relaxed);  // relaxed: a number alone
    seen.stack_size = task.context.stack().size();
    return seen;
  }
};

}  // namespace curg::internal
