// SPDX-License-Identifier: Apache-2.0
#include "profiler/wait_graph.h"

#include <algorithm>
#include <cstdint>

namespace curg {
namespace {

constexpr size_t kNobody = SIZE_MAX;

// Records are sorted by id.
size_t IndexOf(const TaskProfile& profile, uint64_t id) {
  const auto at = std::ranges::lower_bound(profile.tasks, id, {}, &TaskRecord::id);
  const bool found = at != profile.tasks.end() && at->id == id;
  return found ? static_cast<size_t>(at - profile.tasks.begin()) : kNobody;
}

}  // namespace

// Each task waits for one other at most, so from each there is one way to go: it ends, comes to a
// place that was seen from an earlier start, or bites its own tail.
std::vector<std::vector<size_t>> WaitCycles(const TaskProfile& profile) {
  std::vector<std::vector<size_t>> cycles;
  std::vector<size_t> seen_from(profile.tasks.size(), kNobody);
  for (size_t start = 0; start < profile.tasks.size(); ++start) {
    if (profile.tasks[start].wait_task == 0 || seen_from[start] != kNobody) continue;
    size_t at = start;
    while (at != kNobody && seen_from[at] == kNobody) {
      seen_from[at] = start;
      const uint64_t next = profile.tasks[at].wait_task;
      at = next != 0 ? IndexOf(profile, next) : kNobody;
    }
    if (at == kNobody || seen_from[at] != start) continue;
    std::vector<size_t>& cycle = cycles.emplace_back();
    const size_t end = at;
    do {
      cycle.push_back(at);
      at = IndexOf(profile, profile.tasks[at].wait_task);
    } while (at != end);
    std::rotate(cycle.begin(), std::ranges::min_element(cycle), cycle.end());
  }
  return cycles;
}

}  // namespace curg
