// SPDX-License-Identifier: Apache-2.0
//
// Joins that may give up, and misuse.
#include "runtime/join_handle.h"
#include "runtime/context.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

#ifdef CURG_TSAN
constexpr int kRounds = 2'000;
#else
constexpr int kRounds = 20'000;
#endif

TEST(JoinUntil, GivesUpAndStaysJoinable) {
  curg::Run({.workers = 1}, [] {
    std::stop_source release;
    auto task = Go([token = release.get_token()] {
      SleepFor(1h, token);
      return std::make_unique<int>(7);
    });
    Joined<std::unique_ptr<int>> joined = task.JoinFor(2ms);
    EXPECT_EQ(joined.status, WaitStatus::kTimeout);
    EXPECT_FALSE(joined);
    EXPECT_TRUE(task.joinable());
    EXPECT_EQ(task.JoinUntil(std::chrono::steady_clock::now()).status, WaitStatus::kTimeout);

    std::stop_source impatient;
    impatient.request_stop();
    EXPECT_EQ(task.Join(impatient.get_token()).status, WaitStatus::kCancelled);
    EXPECT_TRUE(task.joinable());

    release.request_stop();
    joined = task.JoinFor(1h);
    ASSERT_TRUE(joined);
    EXPECT_EQ(**joined, 7);
    EXPECT_FALSE(task.joinable());
  });
}

TEST(JoinUntil, ValuesOfAllKinds) {
  curg::Run([] {
    static int place = 0;
    auto reference = Go([]() -> int& { return place; }).JoinFor(1h);
    EXPECT_EQ(&*reference, &place);
    EXPECT_EQ(Go([] {}).JoinFor(1h).status, WaitStatus::kOk);
    EXPECT_EQ(Go([] { return std::string("word"); }).JoinFor(1h)->size(), 4u);
    auto broken = Go([]() -> int { throw std::runtime_error("broken"); });
    EXPECT_THROW((void)broken.JoinFor(1h), std::runtime_error);
    EXPECT_FALSE(broken.joinable());
  });
}

// What has ended is joined, however late.
TEST(JoinUntil, EndedIsJoinedAfterTheDeadline) {
  curg::Run([] {
    std::stop_source stopped;
    stopped.request_stop();
    auto task = Go([] { return 3; });
    while (!task.done()) Yield();
    EXPECT_EQ(*task.JoinUntil(std::chrono::steady_clock::now() - 1s, stopped.get_token()), 3);
  });
}

TEST(JoinUntil, FromPlainThreads) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  std::stop_source release;
  auto task = runtime->Go([token = release.get_token()] { return SleepFor(1h, token); });
  EXPECT_EQ(task.JoinFor(2ms).status, WaitStatus::kTimeout);
  std::jthread releaser([&] {
    std::this_thread::sleep_for(2ms);
    release.request_stop();
  });
  EXPECT_FALSE(*task.JoinFor(1h));
}

// The end of the task and the end of the patience, at the same time; with and without leftovers.
void EndNearDeadline() {
  int joined = 0;
  for (int i = 0; i < kRounds; ++i) {
    auto task = Go([i] {
      for (int turn = 0; turn < i % 8; ++turn) Yield();
      return std::make_unique<int>(i);
    });
    Joined<std::unique_ptr<int>> result;
    while (!(result = task.JoinFor(std::chrono::nanoseconds(i % 3'000)))) {
      ASSERT_EQ(result.status, WaitStatus::kTimeout);
    }
    ASSERT_EQ(**result, i);
    ++joined;
  }
  EXPECT_EQ(joined, kRounds);
}

TEST(JoinUntil, EndNearDeadlineOneWorker) { curg::Run({.workers = 1}, EndNearDeadline); }
TEST(JoinUntil, EndNearDeadlineManyWorkers) {
  curg::Run({.workers = 3}, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(Go(EndNearDeadline));
    for (auto& task : tasks) task.Join();
  });
}
TEST(JoinUntil, EndNearDeadlinePlainThread) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  for (int i = 0; i < kRounds / 4; ++i) {
    auto task = runtime->Go([i] { return i; });
    Joined<int> result;
    while (!(result = task.JoinFor(std::chrono::nanoseconds(i % 30'000)))) {
    }
    ASSERT_EQ(*result, i);
  }
}

// Given up, then detached or dropped: the task ends by itself.
TEST(JoinUntil, DropAfterGivingUp) {
  curg::Run({.workers = 2}, [] {
    auto shared = std::make_shared<int>(1);
    for (int i = 0; i < 100; ++i) {
      auto task = Go([shared] {
        SleepFor(1ms);
        return shared;
      });
      (void)task.JoinFor(std::chrono::microseconds(10 * i));
    }
    while (shared.use_count() > 1) SleepFor(1ms);
  });
}

template <typename Fn>
std::string Misuse(Fn fn) {
  try {
    fn();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(JoinHandleMisuse, NamesTheCaller) {
  curg::Run([] {
    Go({.name = "twice"}, [] {
      auto task = Go([] {});
      task.Join();
      const std::string expected = "curg: task " + std::to_string(CurrentTaskId()) +
                                   " \"twice\": uses a JoinHandle without a task: it was joined, "
                                   "detached or moved from";
      EXPECT_EQ(Misuse([&] { task.Join(); }), expected);
      EXPECT_EQ(Misuse([&] { (void)task.JoinFor(1ms); }), expected);
      EXPECT_EQ(Misuse([&] { (void)task.done(); }), expected);
    }).Join();
  });
  JoinHandle<void> empty;
  EXPECT_NE(Misuse([&] { empty.Join(); }).find("curg: plain thread "), std::string::npos);
}

TEST(JoinHandleMisuse, JoinOfOneself) {
  curg::Run({.workers = 1}, [] {
    JoinHandle<void> self;
    std::string plain, limited;
    self = Go({.name = "narcissus"}, [&] {
      plain = Misuse([&] { self.Join(); });
      limited = Misuse([&] { (void)self.JoinFor(1h); });
    });
    const std::string expected = "curg: task " + std::to_string(self.id()) +
                                 " \"narcissus\": joins itself, which would never end";
    while (!self.done()) Yield();
    self.Join();
    EXPECT_EQ(plain, expected);
    EXPECT_EQ(limited, expected);
  });
}

TEST(JoinHandleMisuse, TwoAtATime) {
  curg::Run({.workers = 1}, [] {
    std::stop_source release;
    std::atomic<const internal::Task*> joined{nullptr};
    auto task = Go([&, token = release.get_token()] {
      joined = internal::CurrentTask();
      SleepFor(1h, token);
    });
    auto other = Go([&] { task.Join(); });
    while (joined == nullptr || joined.load()->end.Joiner() == 0) Yield();
    const std::string expected =
        "joins task " + std::to_string(task.id()) + ", which somebody else is joining";
    EXPECT_NE(Misuse([&] { task.Join(); }).find(expected), std::string::npos);
    EXPECT_NE(Misuse([&] { (void)task.JoinFor(1h); }).find(expected), std::string::npos);
    release.request_stop();
    other.Join();
  });
}

TEST(RunUntil, GivesUpAndAsksToStop) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  EXPECT_EQ(*runtime->RunUntil(Deadline::Never(), [] { return 5; }), 5);
  std::atomic<bool> asked{false};
  auto slow = runtime->RunUntil(Deadline::After(2ms), [&](std::stop_token stop) {
    asked = !SleepFor(1h, stop);
    return 5;
  });
  EXPECT_EQ(slow.status, WaitStatus::kTimeout);
  runtime->Run([&] {
    while (!asked) Yield();
  });
  std::stop_source impatient;
  impatient.request_stop();
  asked = false;
  const auto slower = [&](std::stop_token stop) { asked = !SleepFor(1h, stop); };
  EXPECT_EQ(runtime->RunUntil(Deadline::Never(), slower, impatient.get_token()).status,
            WaitStatus::kCancelled);
  runtime->Run([&] {
    while (!asked) Yield();
  });
}

TEST(RuntimeDeathTest, EndedByItsOwnTask) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto runtime = Runtime::Create({.workers = 1}).value();
        runtime->Go({.name = "sawyer"}, [&] { runtime.reset(); }).Join();
      },
      "curg: task [0-9]+ \"sawyer\": ends the runtime that it runs on");
}

}  // namespace
}  // namespace curg
