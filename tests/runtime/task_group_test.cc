// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_group.h"
#include "runtime/context.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

#ifdef CURG_TSAN
constexpr int kRounds = 300;
#else
constexpr int kRounds = 3'000;
#endif

template <typename Fn>
std::string Misuse(Fn fn) {
  try {
    fn();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(TaskGroup, WaitsForAll) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> done{0};
    TaskGroup group;
    for (int i = 0; i < 100; ++i) {
      group.Go([&done, i] {
        if (i % 3 == 0) SleepFor(1ms);
        done.fetch_add(1);
      });
    }
    group.Wait();
    EXPECT_EQ(done.load(), 100);
    EXPECT_EQ(group.size(), 0u);
    group.Wait();  // again: returns at once
  });
}

TEST(TaskGroup, NoChildren) {
  curg::Run([] {
    TaskGroup().Wait();
    TaskGroup unused;
  });
}

// With virtual time there is never a second worker, also where the kernel does not run the first.
TEST(TaskGroup, CallableTakesATokenOrNot) {
  curg::Run({.workers = 1, .virtual_time = true}, [] {
    TaskGroup group;
    int plain = 0;
    bool stopped = false;
    group.Go([&] { return ++plain; });
    group.Go([&](std::stop_token stop) { stopped = !SleepFor(1h, stop); });
    group.Go({.name = "both"},
             [&, unique = std::make_unique<int>(1)](std::stop_token = {}) { plain += *unique; });
    SleepFor(1ms);
    group.Cancel();
    EXPECT_TRUE(group.stop_token().stop_requested());
    group.Wait();
    EXPECT_EQ(plain, 2);
    EXPECT_TRUE(stopped);
  });
}

TEST(TaskGroup, FirstExceptionCancelsAndIsRethrown) {
  curg::Run({.workers = 1, .virtual_time = true}, [] {
    int stopped = 0;
    TaskGroup group;
    for (int i = 0; i < 10; ++i) {
      group.Go([&](std::stop_token stop) {
        stopped += !SleepFor(1h, stop);
        throw std::runtime_error("a late one");
      });
    }
    group.Go([] {
      SleepFor(1ms);
      throw std::runtime_error("the first");
    });
    try {
      group.Wait();
      ADD_FAILURE() << "nothing thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the first");
    }
    EXPECT_EQ(stopped, 10);
    group.Wait();  // once only
  });
}

TEST(TaskGroup, DestructorWaits) {
  curg::Run({.workers = 2}, [] {
    std::atomic<bool> done{false};
    {
      TaskGroup group;
      group.Go([&](std::stop_token stop) {
        EXPECT_TRUE(SleepFor(5ms, stop));  // not cancelled
        done.store(true);
      });
    }
    EXPECT_TRUE(done.load());
  });
}

TEST(TaskGroup, ExceptionInFlightCancels) {
  curg::Run({.workers = 2}, [] {
    std::atomic<bool> stopped{false};
    try {
      TaskGroup group;
      group.Go([&](std::stop_token stop) {
        stopped.store(!SleepFor(1h, stop));
        throw std::runtime_error("unseen");
      });
      throw std::invalid_argument("the scope's own");
    } catch (const std::invalid_argument&) {
    }
    EXPECT_TRUE(stopped.load());
  });
}

// A group made and ended while an exception is in flight is not left by it.
TEST(TaskGroup, InsideADestructorThatUnwindingRuns) {
  struct Last {
    ~Last() {
      TaskGroup group;
      group.Go([&](std::stop_token stop) { *slept = SleepFor(2ms, stop); });
      group.Wait();
    }
    bool* slept;
  };
  curg::Run({.workers = 1}, [] {
    bool slept = false;
    try {
      Last last{&slept};
      throw std::runtime_error("in flight");
    } catch (const std::runtime_error&) {
    }
    EXPECT_TRUE(slept);
  });
}

TEST(TaskGroup, LimitsOfWait) {
  curg::Run({.workers = 1}, [] {
    TaskGroup group;
    group.Go([](std::stop_token stop) { SleepFor(1h, stop); });
    EXPECT_EQ(group.WaitFor(2ms), WaitStatus::kTimeout);
    std::stop_source impatient;
    impatient.request_stop();
    EXPECT_EQ(group.Wait(impatient.get_token()), WaitStatus::kCancelled);
    EXPECT_EQ(group.size(), 1u);
    int later = 0;
    group.Go([&] { ++later; });  // it has not ended
    group.Cancel();
    EXPECT_EQ(group.WaitUntil(Deadline::After(1h)), WaitStatus::kOk);
    EXPECT_EQ(later, 1);
  });
}

TEST(TaskGroup, ChildrenStartChildren) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> leaves{0};
    TaskGroup group;
    std::function<void(int)> grow = [&](int depth) {
      if (depth == 0) {
        leaves.fetch_add(1);
        return;
      }
      for (int i = 0; i < 3; ++i) group.Go([&grow, depth] { grow(depth - 1); });
    };
    group.Go([&] { grow(4); });
    group.Wait();
    EXPECT_EQ(leaves.load(), 81);
  });
}

TEST(TaskGroup, Nested) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> stopped{0};
    TaskGroup outer;
    for (int i = 0; i < 3; ++i) {
      outer.Go([&](std::stop_token stop) {
        TaskGroup inner(stop);
        for (int k = 0; k < 3; ++k) {
          inner.Go(
              [&](std::stop_token inner_stop) { stopped.fetch_add(!SleepFor(1h, inner_stop)); });
        }
        inner.Wait();
      });
    }
    outer.Go([] {
      SleepFor(2ms);
      throw std::runtime_error("outer");
    });
    EXPECT_THROW(outer.Wait(), std::runtime_error);
    EXPECT_EQ(stopped.load(), 9);
  });
}

TEST(TaskGroup, ParentStoppedBefore) {
  curg::Run([] {
    std::stop_source parent;
    parent.request_stop();
    TaskGroup group(parent.get_token());
    bool slept = true;
    group.Go([&](std::stop_token stop) { slept = SleepFor(1h, stop); });
    group.Wait();
    EXPECT_FALSE(slept);
  });
}

TEST(TaskGroup, FromPlainThreads) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  TaskGroup group(*runtime);
  std::atomic<int> done{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) group.Go([&] { done.fetch_add(CurrentTaskId() != 0); });
    });
  }
  threads.clear();
  group.Wait();
  EXPECT_EQ(done.load(), 150);
}

// What a child captured is gone when the group has ended.
TEST(TaskGroup, CapturesEndBeforeTheGroup) {
  curg::Run({.workers = 3}, [] {
    struct Slow {
      explicit Slow(int* counter) : counter(counter) {}
      Slow(Slow&& other) noexcept : counter(std::exchange(other.counter, nullptr)) {}
      ~Slow() {
        if (counter == nullptr) return;
        SleepFor(10us);
        ++*counter;
      }
      int* counter;
    };
    for (int i = 0; i < kRounds / 10; ++i) {
      int ended = 0;
      TaskGroup group;
      group.Go([slow = Slow(&ended)] {});
      group.Wait();
      ASSERT_EQ(ended, 1);
    }
  });
}

// Groups that end at once are destroyed at once: the last child must not touch them any more.
TEST(TaskGroup, StressShortGroups) {
  curg::Run({.workers = 3}, [] {
    for (int i = 0; i < kRounds; ++i) {
      auto group = std::make_unique<TaskGroup>();
      std::atomic<int> done{0};
      for (int k = 0; k < i % 4; ++k) group->Go([&] { done.fetch_add(1); });
      while (group->WaitFor(std::chrono::nanoseconds(i % 2'000)) != WaitStatus::kOk) {
      }
      group.reset();
      ASSERT_EQ(done.load(), i % 4);
    }
  });
}

TEST(TaskGroup, RefusedTask) {
  auto runtime = Runtime::Create({.workers = 1, .stacks_max = 2}).value();
  runtime->Run([] {
    TaskGroup group;
    group.Go([](std::stop_token stop) { SleepFor(1h, stop); });
    EXPECT_EQ(group.TryGo({}, [] {}).code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THROW(group.Go([] {}), absl::BadStatusOrAccess);
    EXPECT_EQ(group.size(), 1u);
    group.Cancel();
    group.Wait();
  });
}

TEST(TaskGroupMisuse, GoAfterTheEnd) {
  curg::Run([] {
    Go({.name = "late"}, [] {
      TaskGroup group;
      group.Go([] {});
      group.Wait();
      EXPECT_EQ(Misuse([&] { group.Go([] {}); }),
                "curg: task " + std::to_string(CurrentTaskId()) +
                    " \"late\": starts a task in a TaskGroup that has ended");
    }).Join();
  });
}

TEST(TaskGroupMisuse, WaitInAChild) {
  curg::Run([] {
    TaskGroup group;
    std::string error;
    group.Go({.name = "child"}, [&] { error = Misuse([&] { group.Wait(); }); });
    group.Wait();
    EXPECT_NE(error.find("\"child\": waits for a TaskGroup that it is a child of"),
              std::string::npos)
        << error;
  });
}

TEST(TaskGroupMisuse, TwoWaitAtATime) {
  curg::Run({.workers = 1, .virtual_time = true}, [] {
    TaskGroup group;
    group.Go([](std::stop_token stop) { SleepFor(1h, stop); });
    auto other = Go([&] { group.Wait(); });
    SleepFor(2ms);  // virtual: the other one waits when it is over
    EXPECT_NE(Misuse([&] { group.Wait(); }).find("somebody else is waiting"), std::string::npos);
    group.Cancel();
    other.Join();
  });
}

TEST(TaskGroupMisuse, OutsideARuntime) {
  EXPECT_NE(Misuse([] { TaskGroup group; }).find("outside a runtime"), std::string::npos);
}

TEST(TaskGroupDeathTest, UnseenException) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(curg::Run([] {
                 TaskGroup group;
                 group.Go({.name = "worker bee"}, [] { throw std::runtime_error("no honey"); });
               }),
               "\"main\": ends a TaskGroup without Wait although task [0-9]+ \"worker bee\" has "
               "thrown: no honey");
}

}  // namespace
}  // namespace curg
