// SPDX-License-Identifier: Apache-2.0
//
// AwaitParked: until tasks wait that a test has started.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "profiler/task_profiler.h"
#include "runtime/go.h"

namespace curg {

// Returns when `count` tasks of that name (TaskProfileOptions::name) are parked; of any, if it is
// empty. Blocks: the task or the plain thread.
inline void AwaitParked(int64_t count, const std::string& name = "") {
  const TaskProfileOptions theirs = {.status = TaskStatus::kParked, .name = name};
  while (CollectTaskProfile(theirs).matching < count) SleepFor(std::chrono::milliseconds(1));
}

}  // namespace curg
