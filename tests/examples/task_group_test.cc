// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

TEST(TaskGroup, AddsStopsAndGivesUp) {
  for (const char* workers : {"1", "4"}) {
    const ProgramResult result = RunProgram(
        {ProgramPath("TASK_GROUP")}, {.environment = {std::string("CURG_WORKERS=") + workers}});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out,
              "the sum is 500000500000\n"
              "the disk is on fire; 3 searches were stopped\n"
              "too slow, cancelled\n");
    EXPECT_EQ(result.err, "");
  }
}

}  // namespace
}  // namespace curg
