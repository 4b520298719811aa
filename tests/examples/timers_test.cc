// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

TEST(Timers, TicksThenTheAlarmThenTheLateTask) {
  for (const char* workers : {"1", "4"}) {
    const ProgramResult result = RunProgram(
        {ProgramPath("TIMERS")}, {.environment = {std::string("CURG_WORKERS=") + workers}});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "tick 1\ntick 2\ntick 3\nnothing for 50 ms\nthe answer is 42\n");
    EXPECT_EQ(result.err, "");
  }
}

}  // namespace
}  // namespace curg
