// SPDX-License-Identifier: Apache-2.0
//
// CopyTaskName: a task's name, for those whom nothing keeps the task alive for.
#pragma once

#include <span>
#include <string_view>

#include "runtime/task.h"

namespace curg::internal {

// Copies the beginning of the name of `task`, which may end meanwhile, to `to`. Whether it was this
// task's name the caller knows if he learns afterwards that the task has not ended; else it is
// nonsense at worst. Thread-safe. Blocks: nothing.
std::string_view CopyTaskName(const Task& task, std::span<char> to);

}  // namespace curg::internal
