// SPDX-License-Identifier: Apache-2.0
#include "runtime/stats.h"

#include "runtime/scheduler.h"
#include "runtime/worker.h"

namespace curg {

RuntimeStats ReadStats() {
  const internal::Task* const task = internal::CurrentTask();
  return task != nullptr ? task->scheduler->Stats() : RuntimeStats();
}

}  // namespace curg
