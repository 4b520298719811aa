// SPDX-License-Identifier: Apache-2.0
#include "runtime/stats.h"

#include "runtime/scheduler.h"
#include "runtime/worker.h"

namespace curg {

RuntimeStats ReadStats() {
  internal::Worker* const worker = internal::CurrentWorker();
  return worker != nullptr ? worker->scheduler.Stats() : RuntimeStats();
}

}  // namespace curg
