// SPDX-License-Identifier: Apache-2.0
//
// TaskProfile: what all tasks were doing at one instant. A plain value, as a CpuProfile;
// task_profiler.h makes it, export/task_text.h, export/task_pprof.h and export/task_json.h show it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "profiler/cpu_profile.h"
#include "profiler/stack_table.h"
#include "runtime/tag.h"
#include "runtime/wait_reason.h"

namespace curg {

enum class TaskStatus : uint8_t {
  kRunning,
  kRunnable,    // waits for a worker
  kNotStarted,  // so does this one, and has no stack yet: the one frame is what it will call
  kParked,
  kBlocking,      // inside Blocking; its stack begins at that call
  kInSystemCall,  // its thread slept in the kernel, outside of Blocking; the stack may lack its
                  // root
  kUnreached,     // it runs, and could not be asked: no stack
};

// "running", "runnable", "not started", "parked", "blocking", "system call", "running, not
// reached".
std::string_view TaskStatusName(TaskStatus status);

// Tasks of equal stack, labels, status and wait.
struct TaskGroup {
  StackTable::Number stack = 0;
  uint32_t tag = 0;  // in TaskProfile::tags
  TaskStatus status = TaskStatus::kParked;
  internal::WaitReason wait = internal::WaitReason::kNone;
  bool truncated = false;  // the stack is deeper than recorded, or could not be walked to its root
  int64_t count = 0;
  std::chrono::nanoseconds age_min{};  // how long they have been so; right to 20 ms
  std::chrono::nanoseconds age_max{};
};

// One task.
struct TaskRecord {
  uint64_t id = 0;
  uint64_t spawner_id = 0;   // 0: a plain thread
  uintptr_t spawn_pc = 0;    // the return address of the call that spawned it
  uint32_t spawn_stack = 0;  // in TaskProfile::spawn_stacks, if not 0 (runtime/spawn_stack.h)
  uint32_t group = 0;        // in TaskProfile::groups: its stack, labels, status, wait
  uint32_t name = 0;         // in TaskProfile::names
  bool runtime_task = false;
  std::chrono::nanoseconds age{};
  const void* wait_object = nullptr;  // the channel, mutex or other object waited for; only an
                                      // identity
  uint64_t wait_task = 0;             // the task it waits for (joins, which holds the mutex, has
                                      // the channel's other end), if known
  std::chrono::nanoseconds due{};     // of a sleep: in how long it ends
  std::chrono::nanoseconds cpu{};     // exact, up to its last switch, of the time in which a
                                      // CpuAccounting lived (runtime/cpu_accounting.h)
};

// Thread-compatible, as any value.
struct TaskProfile {
  absl::Time time;                 // of the announcement
  absl::Duration duration;         // until the last task was recorded
  StackTable stacks;               // pcs as CpuProfileEntry's
  std::vector<TagRef> tags;        // [0] is empty
  std::vector<std::string> names;  // [0] is empty
  std::vector<TaskGroup> groups;   // the largest count first
  std::vector<TaskRecord> tasks;   // by id; empty unless asked for
  StackTable spawn_stacks;         // [0] is empty
  std::vector<CpuProfileMapping> mappings;

  int64_t total = 0;      // tasks alive, the runtime's own aside unless asked for
  int64_t matching = 0;   // of these, those that pass the filters: the groups' counts add up to it
  int64_t left_out = 0;   // of these, those beyond tasks_max, which are in groups only
  int64_t unreached = 0;  // of those matching, kUnreached
  int64_t lost = 0;       // tasks that left no record for want of memory

  const TaskGroup& GroupOf(const TaskRecord& task) const { return groups[task.group]; }
};

}  // namespace curg
