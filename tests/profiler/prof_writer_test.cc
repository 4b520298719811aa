// SPDX-License-Identifier: Apache-2.0
//
// The writer, without the service worker: all of it works on plain threads as well.
#include "profiler/prof_writer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;

TEST(DrainPeriod, IsAQuarterOfTheRingAtThisRateAndDepth) {
  // 32 KiB hold 30.8 records of 133 words; a quarter of that are 7.7.
  const std::chrono::nanoseconds at_100_hz = DrainPeriod(100, 128, 32 << 10);
  EXPECT_GT(at_100_hz, milliseconds(76));
  EXPECT_LT(at_100_hz, milliseconds(78));
  EXPECT_EQ(DrainPeriod(200, 128, 32 << 10), at_100_hz / 2);
  EXPECT_EQ(DrainPeriod(100, 128, 256 << 10), milliseconds(100));  // never longer
  EXPECT_EQ(DrainPeriod(1, 1, 32 << 10), milliseconds(100));
  EXPECT_EQ(DrainPeriod(10'000, 1024, 16 << 10), milliseconds(1));  // never shorter
}

TEST(StopRequest, ReturnsAtTheDeadline) {
  StopRequest stop;
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(5);
  EXPECT_FALSE(stop.WaitUntil(deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

TEST(StopRequest, IsRemembered) {
  StopRequest stop;
  stop.Make();
  stop.Make();
  EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
  EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
}

TEST(StopRequest, WakesTheWaiter) {
  for (int i = 0; i < 100; ++i) {
    StopRequest stop;
    std::thread waiter([&stop] {
      EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
    });
    if (i % 2 == 0) std::this_thread::sleep_for(milliseconds(1));
    stop.Make();
    waiter.join();
  }
}

// The deadline and the request at the same time, many times.
TEST(StopRequest, RacesWithItsDeadline) {
  for (int i = 0; i < 500; ++i) {
    StopRequest stop;
    std::thread waiter([&stop] {
      while (!stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::microseconds(20))) {
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(i % 60));
    stop.Make();
    waiter.join();
  }
}

CpuProfile ProfileDeepStacks(milliseconds cpu) {
  ProfConsumer consumer(
      {.sampler = {.period_ns = 1'000'000, .depth_max = 128, .engine = CpuEngine::kTimer}});
  EXPECT_TRUE(ProfWriter::Get().Add(consumer).ok());
  BurnCpuDeep(124, cpu);
  return ProfWriter::Get().Remove(consumer);
}

// More than a ring holds at 250 ticks a second. Three quarters of a ring are for a
// writer that must wait for a CPU: should that not do, once, it is tried again.
TEST(ProfWriter, LosesNothingWhileItSleeps) {
  CpuProfile profile = ProfileDeepStacks(milliseconds(1500));
  for (int i = 0; i < 4 && profile.quality.lost_samples > 0; ++i) {
    profile = ProfileDeepStacks(milliseconds(1500));
  }
  EXPECT_EQ(profile.quality.lost_samples, 0);
  EXPECT_GT(profile.quality.samples, 40);
}

TEST(ProfWriter, StartsAgain) {
  for (int round = 0; round < 2; ++round) {
    CpuProfile profile;
    for (milliseconds cpu(20); cpu < milliseconds(1000) && profile.quality.samples == 0; cpu *= 2) {
      profile = ProfileDeepStacks(cpu);
    }
    EXPECT_GT(profile.quality.samples, 0);
  }
}

}  // namespace
}  // namespace curg::internal
