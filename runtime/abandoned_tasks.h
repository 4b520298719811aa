// SPDX-License-Identifier: Apache-2.0
//
// What is told of the tasks that a runtime leaves behind when it ends.
#pragma once

#include <cstdint>

namespace curg::internal {

class Scheduler;

// Prints the first of the tasks of `scheduler`, which has stopped, on standard error: of `total`.
// Blocks: the thread.
void ReportAbandonedTasks(const Scheduler& scheduler, uint64_t total);

}  // namespace curg::internal
