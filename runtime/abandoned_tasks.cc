// SPDX-License-Identifier: Apache-2.0
#include "runtime/abandoned_tasks.h"

#include <cstddef>
#include <cstdint>

#include "runtime/kept_tasks.h"
#include "runtime/reporter.h"

namespace curg::internal {

void ReportAbandonedTasks(const Scheduler& scheduler) {
  constexpr size_t kTasksMax = 1000;
  constexpr int64_t kPatienceNs = 200'000'000;
  const auto is_its = [&](const TaskSighting& seen) { return seen.scheduler == &scheduler; };
  const KeptTasks left(is_its, kTasksMax, kPatienceNs);
  if (left.total() == 0) return;
  CurrentReporter().OnAbandoned({.tasks = left.tasks(), .tasks_total = left.total()});
}

}  // namespace curg::internal
