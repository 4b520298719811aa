// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

// What the program says after `what`.
double MillisecondsIn(const std::string& text, const std::string& what) {
  const size_t at = text.find(what);
  double ms = 0;
  if (at == std::string::npos ||
      std::sscanf(text.c_str() + at + what.size(), ": 64 calls of 20 ms in %lf", &ms) != 1) {
    ADD_FAILURE() << "no '" << what << "' in: " << text;
  }
  return ms;
}

TEST(BlockingFiles, CallsOverlapUpToTheBound) {
  double all_ms = 0;
  double four_ms = 0;
  // A machine that stands still for a while makes one of them longer; so the best of some.
  for (int i = 0; i < 8 && four_ms <= 2 * all_ms; ++i) {
    const ProgramResult result = RunProgram({ProgramPath("BLOCKING_FILES")}, {});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("a call with a deadline after 30 ms stopped after"),
              std::string::npos);
    all_ms = MillisecondsIn(result.out, "as many as come");
    four_ms = MillisecondsIn(result.out, "four at a time");
    EXPECT_GE(all_ms, 20);
  }
  // A few more than four at a time: those of workers that still have their processors come on top.
  EXPECT_GT(four_ms, 2 * all_ms);
}

}  // namespace
}  // namespace curg
