// SPDX-License-Identifier: Apache-2.0
//
// Two shared objects with frames of different sizes, loaded and unloaded in turn at the same
// address, while a storm of samples falls on the code in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace curg::internal {

struct PluginStormCounts {
  int64_t loads = 0;
  int64_t same_place = 0;  // loads that found the place of the one before
  int64_t samples = 0;     // with the plug-in in the stack
  int64_t whole = 0;       // those that reach the root, by the one caller there is
  int64_t stale = 0;       // those that do not: walked by the rows of the other one
};

// Loads `paths` in turn, until there are `samples`. Tables are compiled anew now and then, as the
// profiler's writer does, never in step with the loads.
PluginStormCounts RunPluginStorm(const std::vector<std::string>& paths, int64_t samples);

}  // namespace curg::internal
