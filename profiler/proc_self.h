// SPDX-License-Identifier: Apache-2.0
//
// What /proc/self tells: the process's threads and its mappings.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace curg::internal {

// One line of /proc/self/maps.
struct ProcMapping {
  uintptr_t start = 0;
  uintptr_t limit = 0;
  uintptr_t offset = 0;  // in the file
  bool executable = false;
  std::string path;  // as the kernel names it, spaces and " (deleted)" included; empty: anonymous
};

// Parses the text of /proc/self/maps; lines it does not understand are left out.
std::vector<ProcMapping> ParseProcMaps(absl::string_view text);

// The process's mappings now, lowest first.
// Thread-safe. Not async-signal-safe: allocates. Blocks: the thread.
absl::StatusOr<std::vector<ProcMapping>> ReadProcMaps();

// How often thread `tid` of this process was put on a CPU; none where the kernel does not tell, or
// there is no such thread.
// As ReadProcMaps.
std::optional<int64_t> ReadThreadSwitches(pid_t tid);

// The ids of the process's threads now, ascending.
// As ReadProcMaps.
absl::StatusOr<std::vector<pid_t>> ReadThreadIds();

}  // namespace curg::internal
