// SPDX-License-Identifier: Apache-2.0
//
// What WalkStack walks by: the modules' .eh_frame, compiled ahead into rows that a signal handler
// can look up without a lock, an allocation or a system call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace curg::internal {

// Compiles the tables of every module loaded now that has none yet, drops those of modules that are
// gone, and publishes the result. Cheap (microseconds) when nothing changed since the last call;
// about 4 ms the first time for 4 MB of text, with the dynamic loader's lock held.
// A module without a table is still walked through, at ten times the cost of a frame; but the ends
// of tasks (Boost.Context's assembly) are known only from here.
// kResourceExhausted: no memory; the tables there were stay.
// Thread-safe. Not async-signal-safe: allocates. Blocks: the thread.
absl::Status RefreshUnwindTables();

// What there is at the moment.
struct UnwindTableStats {
  size_t modules = 0;
  size_t rows = 0;
  size_t bytes = 0;
  size_t retired = 0;      // sets of tables that were replaced and that a walk may still be reading
  uint64_t refreshes = 0;  // how often RefreshUnwindTables found that something had changed
};

// Thread-safe. Not async-signal-safe: takes a lock. Blocks: the thread.
UnwindTableStats GetUnwindTableStats();

}  // namespace curg::internal
