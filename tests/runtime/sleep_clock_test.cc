// SPDX-License-Identifier: Apache-2.0
#include "runtime/sleep_clock.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/monotonic_clock.h"
#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

constexpr int kReadings = 200'000;

// Readings a while apart, so that some are carried on and some are not.
void ReadForAWhile() {
  for (int i = 0; i < kReadings; ++i) {
    const int64_t before = RealNow();
    const int64_t now = SleepClock::Now();
    const int64_t after = RealNow();
    ASSERT_GE(now, before);
    ASSERT_LE(now, after + SleepClock::kLateNs);
    for (int pause = i % 128; pause > 0; --pause) __builtin_ia32_pause();
  }
}

TEST(SleepClock, IsNeverEarlyAndHardlyLate) {
  ReadForAWhile();  // uncalibrated, unless another test was first
  TickClock::Calibrate();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(ReadForAWhile);  // more than CPUs, on CI
  for (std::thread& thread : threads) thread.join();
}

TEST(SleepClock, IsTheThreadsOwn) {
  TickClock::Calibrate();
  std::thread([] {
    std::atomic<int64_t> now{42};
    SetThreadClock(&now);
    EXPECT_EQ(SleepClock::Now(), 42);
    now = 43;
    EXPECT_EQ(SleepClock::Now(), 43);
    SetThreadClock(nullptr);
  }).join();
}

}  // namespace
}  // namespace curg::internal
