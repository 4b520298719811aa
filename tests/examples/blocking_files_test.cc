// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

TEST(BlockingFiles, CallsOverlapUpToTheBound) {
  const ProgramResult result = RunProgram({ProgramPath("BLOCKING_FILES")}, {});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  double all_ms = 0, four_ms = 0;
  const size_t all = result.out.find("as many as come: 64 calls of 20 ms in ");
  const size_t four = result.out.find("four at a time: 64 calls of 20 ms in ");
  ASSERT_NE(all, std::string::npos) << result.out;
  ASSERT_NE(four, std::string::npos) << result.out;
  ASSERT_EQ(
      std::sscanf(result.out.c_str() + all, "as many as come: 64 calls of 20 ms in %lf", &all_ms),
      1);
  ASSERT_EQ(
      std::sscanf(result.out.c_str() + four, "four at a time: 64 calls of 20 ms in %lf", &four_ms),
      1);
  // A few more than four at a time: those of workers that still have their processors come on top.
  EXPECT_GE(four_ms, 2 * all_ms);
  EXPECT_GE(all_ms, 20);
  EXPECT_NE(result.out.find("a call with a deadline after 30 ms stopped after"), std::string::npos);
}

}  // namespace
}  // namespace curg
