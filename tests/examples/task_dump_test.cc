// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::testing::ContainsRegex;

TEST(TaskDump, TellsTheDeadlockAndTheLeaks) {
  const ProgramResult result =
      RunProgram({ProgramPath("TASK_DUMP")}, {.directory = NewDirectory()});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(
      result.err,
      ContainsRegex("partial deadlock: 2 tasks wait for each other: task [0-9]+ -> task [0-9]+"));
  EXPECT_THAT(result.err,
              ContainsRegex("\"transfer\" \\[mutex lock on 0x[0-9a-f]+ held by task [0-9]+, "));
  EXPECT_THAT(result.err, ContainsRegex("Transfer.* examples/task_dump.cc:[0-9]+"));
  EXPECT_THAT(result.err,
              ContainsRegex("\"audit\" \\{\"job\":\"audit\"\\} \\[channel receive on 0x"));
  EXPECT_THAT(result.err,
              ContainsRegex("spawned by task 1 at .*Start.* examples/task_dump.cc:[0-9]+"));
  EXPECT_THAT(result.out, ContainsRegex("10 tasks \\{\"job\":\"audit\"\\} \\[channel receive, "));
}

}  // namespace
}  // namespace curg
