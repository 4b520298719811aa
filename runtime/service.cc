// SPDX-License-Identifier: Apache-2.0
#include "runtime/service.h"

#include "runtime/scheduler.h"

namespace curg::internal {

Scheduler* ServiceScheduler() { return &Scheduler::Service(); }

}  // namespace curg::internal
