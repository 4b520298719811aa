// SPDX-License-Identifier: Apache-2.0
#include "runtime/abandoned_tasks.h"

#include <algorithm>
#include <cstdio>

#include "runtime/other_thread.h"
#include "runtime/task.h"
#include "runtime/task_slab.h"

namespace curg::internal {
namespace {

constexpr int kShown = 20;
constexpr size_t kNameMax = 63;

const char* Doing(const Task& task, TaskState state) {
  switch (state) {
    case TaskState::kNew:
      return "to start later";
    case TaskState::kRunnable:
      return "runnable";
    case TaskState::kRunning:
      return "running";
    case TaskState::kBlocking:
      return "in Blocking";
    default:
      return WaitReasonName(task.wait_reason);
  }
}

bool IsAlive(TaskState state) { return state != TaskState::kFree && state != TaskState::kEnded; }

}  // namespace

// Those that run still may end meanwhile: what is copied may be wrong then, and is no worse.
void ReportAbandonedTasks(const Scheduler& scheduler, uint64_t total) {
  std::fprintf(stderr, "curg: the runtime ends with %llu tasks that have not ended:\n",
               static_cast<unsigned long long>(total));
  int shown = 0;
  TaskSlab::Instance().ForEach([&](Task& task) {
    const TaskState state = task.state.load(std::memory_order_acquire);  // acquire: see Worker::Prepare()
    if (task.scheduler != &scheduler || !IsAlive(state) || ++shown > kShown) return;
    char name[kNameMax + 1] = {};
    if (!CopyUnstable(name, task.name.data(), std::min(task.name.size(), kNameMax))) name[0] = '\0';
    std::fprintf(stderr, "  task %llu \"%s\": %s\n", static_cast<unsigned long long>(task.id), name,
                 Doing(task, state));
  });
  if (shown > kShown) std::fprintf(stderr, "  and more\n");
}

}  // namespace curg::internal
