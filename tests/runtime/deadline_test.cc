// SPDX-License-Identifier: Apache-2.0
#include "runtime/deadline.h"

#include <chrono>

#include "gtest/gtest.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

TEST(Deadline, AfterIsCountedFromNow) {
  const Deadline before = steady_clock::now() + 1h;
  const Deadline deadline = Deadline::After(1h);
  const Deadline after = steady_clock::now() + 1h;
  EXPECT_LE(before, deadline);
  EXPECT_LE(deadline, after);
}

TEST(Deadline, FarAwayIsNever) {
  EXPECT_TRUE(Deadline::Never().is_never());
  EXPECT_TRUE(Deadline::After(std::chrono::nanoseconds::max()).is_never());
  EXPECT_TRUE(Deadline(steady_clock::time_point::max()).is_never());
  EXPECT_TRUE(
      Deadline(std::chrono::time_point<steady_clock, std::chrono::years>::max()).is_never());
  EXPECT_FALSE(Deadline::After(24h * 365).is_never());
}

TEST(Deadline, LongAgoIsZero) {
  EXPECT_EQ(Deadline::After(std::chrono::nanoseconds::min()).nanoseconds(), 0);
  EXPECT_EQ(Deadline(steady_clock::time_point::min()).nanoseconds(), 0);
  EXPECT_EQ(Deadline(std::chrono::system_clock::time_point::min()).nanoseconds(), 0);
}

TEST(Deadline, OtherClocksConvert) {
  const Deadline deadline = std::chrono::system_clock::now() + 1h;
  EXPECT_GT(deadline, Deadline::After(59min));
  EXPECT_LT(deadline, Deadline::After(61min));
}

}  // namespace
}  // namespace curg
