// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_high_water.h"

#include <cstddef>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg {
namespace {

// Touches `bytes` of stack.
__attribute__((noinline)) void Use(size_t bytes) {
  volatile char* const memory = static_cast<volatile char*>(__builtin_alloca(bytes));
  for (size_t i = 0; i < bytes; i += 512) memory[i] = 1;
}

TEST(StackHighWaterTest, GrowsWithWhatWasUsed) {
  curg::Run({.workers = 1}, [] {
    ResetStackHighWater();
    const size_t before = StackHighWater();
    EXPECT_GT(before, 0u);
    EXPECT_LT(before, size_t{32} << 10);
    Use(size_t{100} << 10);
    EXPECT_GE(StackHighWater(), size_t{100} << 10);
    EXPECT_LE(StackHighWater(), before + (size_t{108} << 10));
    EXPECT_EQ(StackHighWater() % 4096, 0u);
  });
}

TEST(StackHighWaterTest, ResetForgetsWhatIsNoLongerUsed) {
  curg::Run({.workers = 1}, [] {
    Use(size_t{100} << 10);
    EXPECT_GE(StackHighWater(), size_t{100} << 10);
    ResetStackHighWater();
    EXPECT_LT(StackHighWater(), size_t{32} << 10);
  });
}

TEST(StackHighWaterTest, IsTheSizeOfAStackThatWasUsedUp) {
  curg::Run({.workers = 1}, [] {
    Go({.stack_size = size_t{4} << 20}, [] {
      Use((size_t{4} << 20) - (size_t{32} << 10));
      EXPECT_GE(StackHighWater(), (size_t{4} << 20) - (size_t{32} << 10));
      EXPECT_LE(StackHighWater(), size_t{4} << 20);
    }).Join();
  });
}

// A frame that touches only its far end leaves a hole.
TEST(StackHighWaterTest, SeesBelowAHole) {
  curg::Run({.workers = 1}, [] {
    ResetStackHighWater();
    volatile char* const memory = static_cast<volatile char*>(__builtin_alloca(size_t{64} << 10));
    memory[0] = 1;
    EXPECT_GE(StackHighWater(), size_t{64} << 10);
  });
}

TEST(StackHighWaterTest, IsNothingOnAPlainThread) {
  EXPECT_EQ(StackHighWater(), 0u);
  ResetStackHighWater();
}

}  // namespace
}  // namespace curg
