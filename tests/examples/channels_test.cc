// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

TEST(Channels, FindsThePrimesAndNoticesThePause) {
  for (const char* workers : {"1", "4"}) {
    const ProgramResult result = RunProgram(
        {ProgramPath("CHANNELS")}, {.environment = {std::string("CURG_WORKERS=") + workers}});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "no prime for 50 ms\n1229 primes, sum 5736396\n");
    EXPECT_EQ(result.err, "");
  }
}

}  // namespace
}  // namespace curg
