// SPDX-License-Identifier: Apache-2.0
//
// Time that passes only when all tasks wait, and orders drawn from a seed.
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/deadline.h"
#include "runtime/delayed_task.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/select.h"
#include "runtime/sync/ticker.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

TEST(VirtualTime, HoursAreOverAtOnce) {
  const auto start = steady_clock::now();
  curg::Run({.virtual_time = true}, [] {
    const auto begin = Now();
    SleepFor(hours(24));
    EXPECT_EQ(Now() - begin, hours(24));
    Channel<int> nothing;
    EXPECT_EQ(nothing.ReceiveUntil(Deadline::After(hours(1))).status, WaitStatus::kTimeout);
    EXPECT_EQ(Now() - begin, hours(25));
    Ticker ticker(seconds(1));
    for (int i = 1; i <= 1000; ++i) ticker.ticks().Receive();
    EXPECT_EQ(Now() - begin, hours(25) + seconds(1000));
  });
  EXPECT_LT(steady_clock::now() - start, hours(1));
}

TEST(VirtualTime, IsTheSameEachTime) {
  const auto order = [] {
    return curg::Run({.virtual_time = true}, [] {
      std::string events;
      const auto begin = Now();
      const auto note = [&](const std::string& what) {
        events += what + "@" + std::to_string((Now() - begin) / milliseconds(1)) + " ";
      };
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < 5; ++i) {
        tasks.push_back(Go([&note, i] {
          for (int j = 1; j <= 3; ++j) {
            SleepFor(milliseconds(100 * i + 7 * j));
            note(std::to_string(i));
          }
        }));
      }
      auto later = GoAfter(milliseconds(50), [&] { note("later"); });
      for (auto& task : tasks) task.Join();
      return events;
    });
  };
  const std::string first = order();
  EXPECT_NE(first.find("later@50"), std::string::npos) << first;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(order(), first);
}

TEST(VirtualTime, WaitsForBlocking) {
  curg::Run({.virtual_time = true}, [] {
    const auto begin = Now();
    bool done = false;
    auto blocker = Go([&] {
      Blocking([] { std::this_thread::sleep_for(milliseconds(30)); });
      done = true;
      EXPECT_EQ(Now(), begin);
    });
    SleepFor(hours(1));
    EXPECT_TRUE(done);
    blocker.Join();
  });
}

// The call may be over while the worker is about to move time on.
TEST(VirtualTime, StandsStillUntilWhoLeavesBlockingHasRun) {
  curg::Run({.virtual_time = true}, [] {
    for (int i = 0; i < 300; ++i) {
      const auto begin = Now();
      auto blocker = Go([&] {
        Blocking([i] { std::this_thread::sleep_for(std::chrono::microseconds(i)); });
        EXPECT_EQ(Now(), begin);
      });
      SleepFor(hours(1));
      blocker.Join();
    }
  });
}

TEST(VirtualTime, NeedsOneWorker) {
  EXPECT_FALSE(Runtime::Create({.workers = 2, .virtual_time = true}).ok());
  EXPECT_EQ(Runtime::Create({.virtual_time = true}).value()->workers(), 1);
}

TEST(VirtualTime, PlainThreadsComeInBetween) {
  auto runtime = Runtime::Create({.virtual_time = true}).value();
  Channel<int> numbers;
  auto task = runtime->Go([&] { return numbers.Receive().value(); });
  std::this_thread::sleep_for(milliseconds(5));
  numbers.Send(4);
  EXPECT_EQ(task.Join(), 4);
  runtime->Go([] { SleepFor(hours(1)); }).Join();
}

std::string OrderWith(uint64_t seed) {
  return curg::Run({.workers = 1, .schedule_seed = seed}, [] {
    std::string order;
    Channel<int> first, second;
    std::vector<JoinHandle<void>> tasks;
    for (char name = 'a'; name <= 'j'; ++name) {
      tasks.push_back(Go([&order, &first, &second, name] {
        for (int i = 0; i < 5; ++i) {
          order += name;
          if (name % 2 == 0) {
            first.Send(i);
            second.Send(i);
          } else {
            for (int received = 0; received < 2; ++received) {
              Select(OnReceive(first, [&](auto&&...) { order += '1'; }),
                     OnReceive(second, [&](auto&&...) { order += '2'; }));
            }
          }
          Yield();
        }
      }));
    }
    for (auto& task : tasks) task.Join();
    return order;
  });
}

TEST(ScheduleSeed, SameSeedSameOrderOtherSeedOtherOrder) {
  const std::string one = OrderWith(1);
  EXPECT_EQ(OrderWith(1), one);
  EXPECT_EQ(OrderWith(1), one);
  EXPECT_NE(OrderWith(2), one);
  EXPECT_NE(OrderWith(3), OrderWith(2));
}

// Nor does it matter whether the kernel runs the worker all the time: a held one is nothing special
// where nobody comes in its place.
TEST(ScheduleSeed, AHeldWorkerChangesNoOrder) {
  const auto order = [](milliseconds held) {
    return curg::Run({.workers = 1, .schedule_seed = 5}, [held] {
      Go([held] {
        const auto until = steady_clock::now() + held;
        while (steady_clock::now() < until) {
        }
      }).Join();
      std::string order;
      std::vector<JoinHandle<void>> tasks;
      for (char name = 'a'; name <= 'z'; ++name) tasks.push_back(Go([&, name] { order += name; }));
      for (auto& task : tasks) task.Join();
      return order;
    });
  };
  EXPECT_EQ(order(milliseconds(50)), order(milliseconds(0)));
}

TEST(ScheduleSeed, ComesFromTheEnvironmentAndIsPrinted) {
  const std::string one = OrderWith(77);
  setenv("CURG_SCHEDULE_SEED", "77", 1);
  testing::internal::CaptureStderr();
  EXPECT_EQ(OrderWith(0), one);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("CURG_SCHEDULE_SEED=77"),
            std::string::npos);
  setenv("CURG_SCHEDULE_SEED", "many", 1);
  EXPECT_FALSE(Runtime::Create().ok());
  setenv("CURG_SCHEDULE_SEED", "random", 1);
  EXPECT_TRUE(Runtime::Create().ok());
  unsetenv("CURG_SCHEDULE_SEED");
}

// What ScheduleSeed.AFailedTestEndsWithTheSeed runs.
TEST(ScheduleSeed, DISABLED_Fails) { EXPECT_EQ(OrderWith(0), "in order"); }
TEST(ScheduleSeed, DISABLED_Succeeds) { EXPECT_NE(OrderWith(0), "in order"); }

std::string LastLineOf(const std::string& test) {
  const ProgramResult result = RunProgram(
      {"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_filter=ScheduleSeed." + test},
      {.environment = {"CURG_SCHEDULE_SEED=random",
                       "XML_OUTPUT_FILE=" + testing::TempDir() + "/failed.xml"}});
  const std::string all = result.err.substr(0, result.err.find_last_not_of('\n') + 1);
  return all.substr(all.rfind('\n') + 1);
}

TEST(ScheduleSeed, AFailedTestEndsWithTheSeed) {
  const std::string last = LastLineOf("DISABLED_Fails");
  EXPECT_THAT(last,
              testing::StartsWith("curg: this was with tasks in random order; CURG_SCHEDULE"));
  EXPECT_THAT(last, testing::EndsWith(" repeats it"));
  // One that succeeds has told it at its start only.
  EXPECT_THAT(LastLineOf("DISABLED_Succeeds"), testing::StartsWith("curg: tasks run in random"));
}

TEST(ScheduleSeedDeathTest, OtherEndsTellTheSeed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // Fatal in any case: by default a thread of a sanitizer's might be about to send.
  const RuntimeOptions options = {
      .workers = 1, .schedule_seed = 77, .deadlock = DeadlockAction::kFatal};
  const char* const told =
      "this was with tasks in random order; CURG_SCHEDULE_SEED=77 repeats it\n$";
  EXPECT_DEATH(curg::Run(options, [] { abort(); }), told);
  EXPECT_EXIT(curg::Run(options,
                        [] {
                          Channel<int> nothing;
                          nothing.Receive();
                        }),
              testing::ExitedWithCode(2), told);
  const auto twice = [&] {
    OrderWith(5);
    OrderWith(77);
    exit(1);
  };
  EXPECT_EXIT(twice(), testing::ExitedWithCode(1), "=77 repeats it .the last of several seeds.\n$");
}

}  // namespace
}  // namespace curg
