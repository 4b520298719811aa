// SPDX-License-Identifier: Apache-2.0
#include "runtime/park.h"

#include <chrono>
#include <mutex>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/spin_lock.h"

namespace curg::internal {
namespace {

using Deadline = Waiter::Deadline;

// Waits for nobody until `deadline`; false: it came.
bool WaitAlone(Deadline deadline) {
  SpinLock lock;
  Waiter waiter;
  lock.lock();
  if (waiter.WaitUntil(WaitReason::kNone, nullptr, lock, deadline)) return true;
  std::lock_guard last(lock);  // the worker may not have let go of it yet
  return false;
}

TEST(Park, DeadlineAheadIsKept) {
  const auto wait = [] {
    const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    EXPECT_FALSE(WaitAlone(deadline));
    EXPECT_GE(std::chrono::steady_clock::now(), deadline);
  };
  wait();
  curg::Run(wait);
}

TEST(Park, DeadlinePassedEndsAtOnce) {
  const auto wait = [] {
    EXPECT_FALSE(WaitAlone(std::chrono::steady_clock::now() - std::chrono::hours(1)));
    EXPECT_FALSE(WaitAlone(Deadline()));
    EXPECT_FALSE(WaitAlone(Deadline::min()));
  };
  wait();
  curg::Run(wait);
}

TEST(Park, OneClaimWins) {
  Waiter waiter;
  EXPECT_TRUE(waiter.TryClaim());
  EXPECT_FALSE(waiter.TryClaim());
  EXPECT_EQ(waiter.task(), nullptr);
}

// commit may refuse, and may wake the waiter it runs for.
TEST(Park, CommitDecides) {
  const auto wait = [] {
    Waiter waiter;
    waiter.WaitIf(
        WaitReason::kNone, nullptr, [](void*) { return false; }, nullptr);
    waiter.WaitIf(
        WaitReason::kNone, nullptr,
        [](void* self) {
          static_cast<Waiter*>(self)->Wake();
          return true;
        },
        &waiter);
  };
  wait();
  curg::Run({.workers = 1}, wait);
}

// The longest sleeps there are neither end at once nor overflow.
TEST(Park, LongestSleep) {
  curg::Run({.workers = 1}, [] {
    bool woke = false;
    auto one = Go([&] {
      SleepFor(std::chrono::nanoseconds::max());
      woke = true;
    });
    auto two = Go([&] {
      SleepUntil(std::chrono::steady_clock::time_point::max());
      woke = true;
    });
    SleepFor(std::chrono::milliseconds(5));
    EXPECT_FALSE(woke);
    EXPECT_FALSE(one.done());
    EXPECT_FALSE(two.done());
  });
}

}  // namespace
}  // namespace curg::internal
