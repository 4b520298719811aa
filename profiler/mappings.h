// SPDX-License-Identifier: Apache-2.0
//
// The executable mappings a profile's addresses lie in, with what is needed to symbolize them
// elsewhere.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "profiler/cpu_profile.h"

namespace curg::internal {

// Collects mappings while a profile runs, so that those of a library that was unloaded before the
// end are still known.
// Thread-compatible. Not async-signal-safe: takes the loader's lock.
class MappingRecorder {
 public:
  // Adds the mappings there are now, if modules came or went since the last call. A mapping that
  // another has taken the place of is forgotten. Blocks: the thread.
  // Returns true if modules came or went.
  bool Capture();

  // The mappings, lowest first, none overlapping.
  std::vector<CpuProfileMapping> Take();

 private:
  std::pair<uint64_t, uint64_t> adds_and_subs_ = {0, 0};
  std::vector<CpuProfileMapping> mappings_;
};

// The executable mappings now, lowest first: modules, the vdso, and anonymous ones.
// Thread-safe. Not async-signal-safe: takes the loader's lock.
std::vector<CpuProfileMapping> CurrentMappings();

}  // namespace curg::internal
