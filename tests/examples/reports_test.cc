// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/context.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::testing::ContainsRegex;

ProgramResult Reports(const std::string& what) {
  return RunProgram({ProgramPath("REPORTS"), what}, {.environment = {"CURG_LONG_SLICE_MS=25"}});
}

bool TellsOfALongSlice(const ProgramResult& result) {
  return result.err.find("kept its worker") != std::string::npos;
}

TEST(Reports, AnOverflowTellsTheTaskAndTheRecursion) {
  ProgramResult result = Reports("overflow");
  // To report it takes longer than a slice should, which is not told; but a machine that stands
  // still before makes a long one, too.
  for (int i = 0; i < 5 && TellsOfALongSlice(result); ++i) result = Reports("overflow");
#if !defined(CURG_ASAN) && !defined(CURG_TSAN)  // which end the process in their way
  EXPECT_EQ(result.status, 128 + 11);
#endif
  EXPECT_THAT(result.err,
              ContainsRegex("stack overflow in task 2 \"parser\", which has a stack of 256 KiB"));
  EXPECT_THAT(result.err, ContainsRegex("\\{\"document\":\"readme\"\\}"));
  EXPECT_FALSE(TellsOfALongSlice(result)) << result.err;
  EXPECT_THAT(result.err, ContainsRegex("Parse.* examples/reports.cc:[0-9]+ \\([0-9]+ times\\)"));
  EXPECT_THAT(result.err,
              ContainsRegex("spawned by task 1 at .*StartParser.* examples/reports.cc:[0-9]+"));
}

TEST(Reports, ALongSliceTellsTheLoop) {
  ProgramResult result;
  // Somebody must get a CPU meanwhile to notice, and the task to be in its loop by then.
  for (int i = 0; i < 5 && result.err.find("Index") == std::string::npos; ++i) {
    result = Reports("long_slice");
    EXPECT_EQ(result.status, 0);
  }
  EXPECT_THAT(result.err,
              ContainsRegex("task 2 \"parser\" \\{\"document\":\"readme\"\\} has kept its worker "
                            "for [0-9]+ ms\n"));
  EXPECT_THAT(result.err, ContainsRegex("Index.* examples/reports.cc:[0-9]+"));
  EXPECT_THAT(result.err,
              ContainsRegex("spawned by task 1 at .*StartParser.* examples/reports.cc:[0-9]+"));
}

#ifndef CURG_TSAN  // whose own thread might wake a task, as far as one can tell
TEST(Reports, ADeadlockTellsWhoWaitsWhere) {
  const ProgramResult result = Reports("deadlock");
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(
      result.err,
      ContainsRegex("curg: deadlock: all tasks are asleep \\(2\\), and nothing can wake them\n"));
  EXPECT_THAT(result.err, ContainsRegex("task 1 \"main\" \\[channel receive\\]:\n"));
  EXPECT_THAT(
      result.err,
      ContainsRegex("task 2 \"parser\" \\{\"document\":\"readme\"\\} \\[channel receive\\]:\n"));
  EXPECT_THAT(result.err, ContainsRegex("Exchange.* examples/reports.cc:[0-9]+"));
}
#endif

}  // namespace
}  // namespace curg
