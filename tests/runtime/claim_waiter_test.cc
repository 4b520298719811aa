// SPDX-License-Identifier: Apache-2.0
#include "runtime/claim_waiter.h"

#include <chrono>
#include <functional>
#include <stop_token>
#include <thread>

#include "gtest/gtest.h"
#include "runtime/deadline.h"
#include "runtime/go.h"
#include "runtime/timers.h"
#include "runtime/wait_limits.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// On a plain thread, then on a task.
void OnBoth(const std::function<void()>& body) {
  body();
  curg::Run({.workers = 1}, body);
}

bool WaitAlone(Deadline deadline) {
  ClaimWaiter waiter;
  return waiter.Wait(WaitReason::kNone, nullptr, deadline.nanoseconds());
}

TEST(ClaimWaiter, DeadlineAheadIsKept) {
  OnBoth([] {
    const auto deadline = steady_clock::now() + milliseconds(20);
    EXPECT_FALSE(WaitAlone(deadline));
    EXPECT_GE(steady_clock::now(), deadline);
  });
}

TEST(ClaimWaiter, DeadlinePassedEndsAtOnce) {
  OnBoth([] {
    EXPECT_FALSE(WaitAlone(steady_clock::now() - std::chrono::hours(1)));
    EXPECT_FALSE(WaitAlone(steady_clock::time_point()));
    EXPECT_FALSE(WaitAlone(steady_clock::time_point::min()));
  });
}

TEST(ClaimWaiter, OneClaimWins) {
  ClaimWaiter waiter;
  EXPECT_TRUE(waiter.TryClaim());
  EXPECT_FALSE(waiter.TryClaim());
}

TEST(ClaimWaiter, WakeMayComeBeforeTheWait) {
  OnBoth([] {
    for (const int64_t deadline : {TimerQueue::kNever, MonotonicNow() + 3'600'000'000'000}) {
      ClaimWaiter waiter;
      ASSERT_TRUE(waiter.TryClaim());
      waiter.Wake();
      EXPECT_TRUE(waiter.Wait(WaitReason::kNone, nullptr, deadline));
    }
  });
}

TEST(ClaimWaiter, StopEndsTheWait) {
  OnBoth([] {
    std::stop_source source;
    const std::stop_token token = source.get_token();
    std::jthread requester([&] {
      std::this_thread::sleep_for(milliseconds(5));
      source.request_stop();
    });
    for (int i = 0; i < 2; ++i) {  // the second time it is requested already
      ClaimWaiter waiter;
      EXPECT_EQ(WaitClaimed(waiter, {Deadline::Never(), &token}, WaitReason::kNone, nullptr),
                WaitStatus::kCancelled);
    }
  });
}

}  // namespace
}  // namespace curg::internal
