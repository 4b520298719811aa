// SPDX-License-Identifier: Apache-2.0
#include "profiler/task_profile.h"

namespace curg {

std::string_view TaskStatusName(TaskStatus status) {
  switch (status) {
    case TaskStatus::kRunning:
      return "running";
    case TaskStatus::kRunnable:
      return "runnable";
    case TaskStatus::kNotStarted:
      return "not started";
    case TaskStatus::kParked:
      return "parked";
    case TaskStatus::kBlocking:
      return "blocking";
    case TaskStatus::kInSystemCall:
      return "system call";
    case TaskStatus::kUnreached:
      return "running, not reached";
  }
  return "unknown";
}

}  // namespace curg
