// SPDX-License-Identifier: Apache-2.0
//
// ThrowSelfDeadlock: for a caller who would wait for itself.
#pragma once

#include <string>
#include <system_error>

#include "runtime/sync/primitives.h"

namespace curg::internal {

// Throws std::system_error (resource_deadlock_would_occur) with "<caller>: <what it does>".
[[noreturn]] inline void ThrowSelfDeadlock(const char* what) {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                          "curg: " + CallerName() + ": " + what);
}

}  // namespace curg::internal
