// SPDX-License-Identifier: Apache-2.0
//
// For libraries that expect a thread's stack: libdw's line reader alone takes some 300 KiB of it,
// more than a task has by default.
#pragma once

#include "absl/functional/function_ref.h"

namespace curg::internal {

// Calls fn() where there is a large stack: right here on a plain thread, on a thread of its own
// when called from a task. fn must not need to be on the caller's thread, nor throw.
// Blocks: the task, whose worker goes on with others; a plain thread.
void OnLargeStack(absl::FunctionRef<void()> fn);

}  // namespace curg::internal
