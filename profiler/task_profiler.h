// SPDX-License-Identifier: Apache-2.0
//
// The task profile (Go's goroutine profile): every task's stack, state, wait and tag at one
// instant, without stopping anything. Start here.
//
//   curg::TaskProfile profile = curg::CollectTaskProfile();
//   std::cout << curg::TaskText(profile);            // export/task_text.h
//
// runtime/roll_call.h has the protocol.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "profiler/task_profile.h"
#include "runtime/tag.h"

namespace curg {

struct TaskProfileOptions {
  // One record a task beside the groups; without, a million tasks take less memory and time.
  bool each_task = true;
  // The runtime's own tasks as well.
  bool runtime_tasks = false;
  // Frames of a stack, 1 to 128.
  size_t depth_max = 128;

  // --- Filters: what does not pass is counted in `total` only. All must pass.
  std::optional<TaskStatus> status = {};
  std::chrono::nanoseconds age_min{0};       // has been in its state for at least this long
  std::string name = {};                     // occurs in the task's name
  std::function<bool(const Tag*)> tag = {};  // export/label_filter.h makes one of labels; called
                                             // once a tag

  // At most so many records; the rest is in groups only.
  size_t tasks_max = std::numeric_limits<size_t>::max();
};

// All tasks of all runtimes of the process that are alive at one instant, each once; tasks born
// later are not in it. Tasks spawn, switch and end at full speed meanwhile. Several at a time take
// turns. A task that cannot be reached within two seconds is listed as such.
// Thread-safe. Not async-signal-safe. Blocks: the task or the plain thread, 0.3 to 0.5 us a task;
// the work is done by a runtime task, so that it is done even if every worker is held.
TaskProfile CollectTaskProfile(const TaskProfileOptions& options = {});

namespace internal {

// The same on the calling thread, without help from the runtime: for when that may be stuck.
// Blocks: the thread. `pause` and `patience` as in RollCallerOptions.
TaskProfile CollectTaskProfileHere(const TaskProfileOptions& options, void (*pause)() = nullptr,
                                   std::chrono::nanoseconds patience = std::chrono::seconds(2));

}  // namespace internal
}  // namespace curg
