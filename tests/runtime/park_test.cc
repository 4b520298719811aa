// SPDX-License-Identifier: Apache-2.0
#include "runtime/park.h"

#include <chrono>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg::internal {
namespace {

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
