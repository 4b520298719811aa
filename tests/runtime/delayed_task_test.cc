// SPDX-License-Identifier: Apache-2.0
#include "runtime/delayed_task.h"
#include "runtime/context.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/task_local.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

#ifdef CURG_TSAN
constexpr int kRounds = 500;
#else
constexpr int kRounds = 5'000;
#endif

void Await(const std::atomic<int>& value, int expected) {
  while (value.load() != expected) SleepFor(100us);
}

TaskLocal<int> g_inherited(Inherit::kCopy);

TEST(GoAfter, RunsLaterWithWhatItInherited) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> ran{0};
    const auto start = steady_clock::now();
    g_inherited.Set(3);
    DelayedTask task = GoAfter(5ms, {.name = "later"}, [&] {
      EXPECT_GE(steady_clock::now(), start + 5ms);
      EXPECT_EQ(CurrentTaskName(), "later");
      EXPECT_EQ(*g_inherited, 3);
      ran.fetch_add(1);
    });
    g_inherited.Set(4);
    const bool pending = task.pending();
    EXPECT_TRUE(pending || steady_clock::now() >= start + 5ms);
    Await(ran, 1);
    EXPECT_FALSE(task.pending());
    EXPECT_FALSE(task.Cancel());
    EXPECT_FALSE(task.Reset(1ms));
  });
}

TEST(GoAfter, CancelDestroysTheCallable) {
  curg::Run({.workers = 1}, [] {
    auto shared = std::make_shared<int>(1);
    DelayedTask task = GoAfter(1h, [shared] { ADD_FAILURE() << "ran"; });
    EXPECT_EQ(shared.use_count(), 2);
    EXPECT_TRUE(task.Cancel());
    EXPECT_EQ(shared.use_count(), 1);
    EXPECT_FALSE(task.Cancel());
    EXPECT_FALSE(task.Reset(1ms));
    EXPECT_FALSE(DelayedTask().Cancel());
  });
}

TEST(GoAfter, ResetSoonerAndLater) {
  curg::Run({.workers = 1}, [] {
    std::atomic<int> ran{0};
    DelayedTask sooner = GoAfter(1h, [&] { ran.fetch_add(1); });
    EXPECT_TRUE(sooner.Reset(1ms));
    Await(ran, 1);
    int expected = 1;
    auto delay = 5ms;
    DelayedTask later = GoAfter(delay, [&] { ran.fetch_add(1); });
    while (!later.Reset(1h)) {  // it was due already
      Await(ran, ++expected);
      delay *= 4;
      ASSERT_LT(delay, 30s);
      later = GoAfter(delay, [&] { ran.fetch_add(1); });
    }
    SleepFor(2 * delay);
    EXPECT_EQ(ran.load(), expected);
    EXPECT_TRUE(later.ResetAt(steady_clock::now()));
    Await(ran, expected + 1);
  });
}

TEST(GoAfter, DroppedHandleLetsItRun) {
  curg::Run({.workers = 1}, [] {
    std::atomic<int> ran{0};
    for (int i = 0; i < 100; ++i) {
      (void)GoAfter(std::chrono::microseconds(10 * i), [&] { ran.fetch_add(1); });
    }
    Await(ran, 100);
    (void)GoAfter(0ms, [] { throw std::runtime_error("unseen"); });
    SleepFor(2ms);
  });
}

TEST(GoAfter, FromPlainThreads) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  std::atomic<int> ran{0};
  DelayedTask task = GoAfter(*runtime, 1ms, {}, [&] { ran.fetch_add(1); });
  DelayedTask never = GoAfter(*runtime, 1h, {}, [] {});
  Await(ran, 1);
  EXPECT_TRUE(never.Cancel());
  EXPECT_THROW((void)GoAfter(1ms, [] {}), absl::BadStatusOrAccess);
}

// Cancels and resets that come while the timer fires: each task runs once, or is cancelled.
TEST(GoAfter, StressNearTheDeadline) {
  curg::Run({.workers = 3}, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int t = 0; t < 3; ++t) {
      tasks.push_back(Go([t] {
        std::atomic<int> ran{0};
        int expected = 0;
        for (int i = 0; i < kRounds; ++i) {
          const auto delay = std::chrono::nanoseconds((i * 37 + t) % 20'000);
          DelayedTask task = GoAfter(delay, [&] { ran.fetch_add(1); });
          if (i % 3 == 0) Yield();
          if (i % 4 == 1) SleepFor(delay);
          if (i % 2 == 0) (void)task.Reset(delay / 2);
          if (i % 3 != 1 && task.Cancel()) continue;
          ++expected;
        }
        Await(ran, expected);
        SleepFor(1ms);
        EXPECT_EQ(ran.load(), expected);
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

}  // namespace
}  // namespace curg
