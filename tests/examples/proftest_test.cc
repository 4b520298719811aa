// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using testing::HasSubstr;

TEST(Proftest, PrintsARowForEachLoadAndRate) {
  const ProgramResult result =
      RunProgram({ProgramPath("PROFTEST"), "--rates=100,1000", "--threads=1", "--time=200ms",
                  "--bursts=4", "--histogram"});
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* part : {"posix-cpu-timer\n", "perf-task-clock\n", "perf-cycles\n", "1 busy",
                           "4 bursts", "expected", "generated", "delivered", "lost", "credited",
                           "1 busy at 1000 Hz: from signal to signal", "periods"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
  EXPECT_EQ(result.err, "");
}

TEST(Proftest, SaysWhatItCannotDo) {
  EXPECT_EQ(RunProgram({ProgramPath("PROFTEST"), "--engines=sundial"}).status, 2);
  const ProgramResult too_fast =
      RunProgram({ProgramPath("PROFTEST"), "--engines=posix-cpu-timer", "--rates=20000"});
  EXPECT_EQ(too_fast.status, 2);
  EXPECT_THAT(too_fast.out, HasSubstr("rate_hz is 20000"));
  for (const std::string flag : {"--rates", "--threads"}) {
    const ProgramResult result = RunProgram({ProgramPath("PROFTEST"), flag + "=often"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr(flag + ": 'often' is not a number"));
  }
}

TEST(Proftest, Help) {
  EXPECT_THAT(RunProgram({ProgramPath("PROFTEST"), "--help"}).out,
              HasSubstr("how well this kernel"));
}

}  // namespace
}  // namespace curg
