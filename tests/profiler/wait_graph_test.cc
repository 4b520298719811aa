// SPDX-License-Identifier: Apache-2.0
#include "profiler/wait_graph.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace curg {
namespace {

// Task i + 1 waits for waits[i]; 0: for nobody.
std::vector<std::vector<size_t>> CyclesOf(const std::vector<uint64_t>& waits) {
  TaskProfile profile;
  for (size_t i = 0; i < waits.size(); ++i)
    profile.tasks.push_back({.id = i + 1, .wait_task = waits[i]});
  return WaitCycles(profile);
}

using Cycles = std::vector<std::vector<size_t>>;

TEST(WaitGraph, FindsCyclesAndNothingElse) {
  EXPECT_EQ(CyclesOf({}), Cycles{});
  EXPECT_EQ(CyclesOf({0, 1, 2}), Cycles{});
  EXPECT_EQ(CyclesOf({99, 1}), Cycles{});  // for a task that has ended
  EXPECT_EQ(CyclesOf({2, 1}), (Cycles{{0, 1}}));
  EXPECT_EQ(CyclesOf({1}), (Cycles{{0}}));
  EXPECT_EQ(CyclesOf({3, 1, 2}), (Cycles{{0, 2, 1}}));
  EXPECT_EQ(CyclesOf({4, 3, 4, 3, 6, 5}), (Cycles{{2, 3}, {4, 5}}));  // two, and ways into the
                                                                      // first
}

}  // namespace
}  // namespace curg
