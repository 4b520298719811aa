// SPDX-License-Identifier: Apache-2.0
//
// What is told of the tasks that a runtime leaves behind when it ends.
#pragma once

namespace curg::internal {

class Scheduler;

// Reports the tasks of `scheduler` that have not ended (Reporter::OnAbandoned), if there are any.
// It has stopped, but for workers that are held. Blocks: the thread; the reporter.
void ReportAbandonedTasks(const Scheduler& scheduler);

}  // namespace curg::internal
