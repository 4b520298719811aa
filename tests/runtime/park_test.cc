// SPDX-License-Identifier: Apache-2.0
#include "runtime/park.h"

#include <chrono>
#include <cstdint>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/runtime.h"
#include "runtime/stats.h"

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

// What a task has locked is unlocked before the kernel is asked for the next one's stack.
TEST(Park, CommitsBeforeTheNextStackIsMade) {
  const auto runtime = Runtime::Create({.workers = 1}).value();
  runtime->Run([&runtime] {
    struct {
      Runtime& runtime;
      uint64_t stacks_in_use = 0;
    } commit{*runtime};
    auto next = Go([] {});
    Waiter().WaitIf(
        WaitReason::kNone, nullptr,
        [](void* arg) {
          auto& self = *static_cast<decltype(commit)*>(arg);
          self.stacks_in_use = self.runtime.Stats().stacks_in_use;
          return false;
        },
        &commit);
    EXPECT_EQ(commit.stacks_in_use, 1);
    EXPECT_EQ(runtime->Stats().stacks_in_use, 2);
    next.Join();
  });
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
