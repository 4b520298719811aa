// SPDX-License-Identifier: Apache-2.0
//
// What fork leaves of a runtime: nothing. The child has one thread, a copy of the one that called;
// workers, service worker and sysmon are not in it. A child that only execs, or ends by _exit, is
// fine, from tasks as well; one that goes on is a plain process without a runtime, in which
// everything that would need those threads is a clear error instead of a wait for ever.
#pragma once

#include "absl/status/status.h"

namespace curg::internal {

// From now on forks are noticed. Thread-safe.
void GuardForks();

// Whether this process is such a child. Thread-safe.
bool InForkedChild();

// FAILED_PRECONDITION if it is.
absl::Status CheckNotForked();

// Ends the child, which has done `what`. Says so on standard error.
[[noreturn]] void FatalInForkedChild(const char* what);

}  // namespace curg::internal
