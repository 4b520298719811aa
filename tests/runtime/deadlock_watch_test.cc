// SPDX-License-Identifier: Apache-2.0
#include "runtime/deadlock_watch.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/reporter.h"
#include "runtime/runtime.h"
#include "runtime/sync/channel.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;

// The thread sanitizer has a thread of its own, which nobody can tell from the program's.
#ifdef CURG_TSAN
constexpr DeadlockAction kFatal = DeadlockAction::kFatal;
#else
constexpr DeadlockAction kFatal = DeadlockAction::kDefault;
#endif

class Recorder final : public Reporter {
 public:
  struct Heard {
    bool certain = false;
    bool fatal = false;
    size_t total = 0;
    std::vector<std::string> tasks = {};  // name and wait
    std::vector<size_t> depths = {};
  };

  explicit Recorder(Channel<int>* unblock = nullptr) : unblock_(unblock) { SetReporter(this); }
  ~Recorder() override { SetReporter(nullptr); }

  void OnDeadlock(const DeadlockReport& report) override {
    Heard heard = {.certain = report.certain, .fatal = report.fatal, .total = report.tasks_total};
    for (const ReportedTask& task : report.tasks) {
      heard.tasks.push_back(std::string(task.name) + ": " + task.wait);
      heard.depths.push_back(task.stack.size());
    }
    {
      std::lock_guard lock(lock_);
      heard_.push_back(std::move(heard));
    }
    if (unblock_ != nullptr) unblock_->Send(1);
  }

  std::vector<Heard> heard() {
    std::lock_guard lock(lock_);
    return heard_;
  }

 private:
  Channel<int>* const unblock_;
  std::mutex lock_;
  std::vector<Heard> heard_;  // guarded by lock_
};

class DeadlockWatchTest : public ::testing::Test {
 protected:
  DeadlockWatchTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(DeadlockWatchTest, EndsAProcessInWhichNothingCanHappenAnyMore) {
  EXPECT_EXIT(
      curg::Run({.workers = 2, .deadlock = kFatal},
                [] {
                  Channel<int> channel;
                  Go({.name = "reader"}, [&] { channel.Receive(); }).Join();
                }),
      ExitedWithCode(2),
      "(deadlock: all tasks are asleep \\(2\\), and nothing can wake them|threads outside)"
      "(.|\n)*task 1 \"main\" \\[join\\]:\n    0x(.|\n)*spawned by a plain thread at 0x"
      "(.|\n)*task 2 \"reader\" \\[channel receive\\]:\n    0x(.|\n)*spawned by task 1 at 0x");
}

TEST_F(DeadlockWatchTest, ShowsTasksAlikeOnce) {
  EXPECT_EXIT(curg::Run({.workers = 2, .deadlock = kFatal},
                        [] {
                          Channel<int> channel;
                          for (int i = 0; i < 100; ++i) Go([&] { channel.Receive(); }).Detach();
                          channel.Receive();
                        }),
              ExitedWithCode(2),
              "asleep \\(101\\)(.|\n)*task [0-9]+, and alike [0-9]+, .* and 91 more \\[channel "
              "receive\\]:");
}

#ifndef CURG_TSAN
// Nothing in the runtime tells that a plain thread has come to wait as well.
TEST_F(DeadlockWatchTest, SeesAThreadThatComesToWaitLater) {
  EXPECT_EXIT(
      {
        auto runtime = Runtime::Create({.workers = 1}).value();
        Channel<int> channel;
        auto task = runtime->Go([&] { channel.Receive(); });
        std::this_thread::sleep_for(200ms);
        task.Join();
      },
      ExitedWithCode(2), "all tasks are asleep \\(1\\), and nothing can wake them");
}

TEST_F(DeadlockWatchTest, SeesThroughSeveralRuntimes) {
  EXPECT_EXIT(
      {
        auto one = Runtime::Create({.workers = 1}).value();
        auto other = Runtime::Create({.workers = 2}).value();
        Channel<int> channel;
        auto task = one->Go([&] { channel.Receive(); });
        other->Run([&] { channel.Receive(); });
      },
      ExitedWithCode(2), "all tasks are asleep \\(2\\), and nothing can wake them");
}

TEST_F(DeadlockWatchTest, CanBeAWarningOnly) {
  Channel<int> channel(1);
  Recorder recorder(&channel);
  EXPECT_EQ(curg::Run({.workers = 2, .deadlock = DeadlockAction::kWarn},
                      [&] { return *channel.Receive(); }),
            1);
  const auto heard = recorder.heard();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].certain);
  EXPECT_FALSE(heard[0].fatal);
  EXPECT_EQ(heard[0].tasks, std::vector<std::string>{"main: channel receive"});
  EXPECT_GT(heard[0].depths[0], 3u);
}
#endif

TEST_F(DeadlockWatchTest, IsSilentWhereAPlainThreadSendsLater) {
  Recorder recorder;
  Channel<int> channel;
  std::thread sender([&] {
    std::this_thread::sleep_for(300ms);
    channel.Send(7);
  });
  EXPECT_EQ(curg::Run({.workers = 2}, [&] { return *channel.Receive(); }), 7);
  sender.join();
  EXPECT_TRUE(recorder.heard().empty());
}

// It has been woken from outside before the warning was due, so it will be again.
TEST_F(DeadlockWatchTest, IsSilentInAProgramThatIsFedFromOutside) {
  size_t warnings = 0;
  // Again, if the machine was so busy that the first wait went unseen.
  for (const auto first_wait : {200ms, 500ms, 1000ms}) {
    Recorder recorder;
    auto runtime = Runtime::Create({.workers = 2, .deadlock_warning = 2s}).value();
    Channel<int> channel;
    auto task = runtime->Go([&] { return *channel.Receive() + *channel.Receive(); });
    std::this_thread::sleep_for(first_wait);
    channel.Send(1);
    std::this_thread::sleep_for(2500ms);
    channel.Send(2);
    EXPECT_EQ(task.Join(), 3);
    warnings = recorder.heard().size();
    if (warnings == 0) break;
  }
  EXPECT_EQ(warnings, 0u);
}

TEST_F(DeadlockWatchTest, WarnsOnceWhereOthersMightStillWakeATask) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 2, .deadlock_warning = 50ms}).value();
  std::this_thread::sleep_for(50ms);  // quiet, but nobody waits
  Channel<int> channel;
  auto task = runtime->Go({.name = "reader"}, [&] { return *channel.Receive(); });
  while (recorder.heard().empty()) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(300ms);
  channel.Send(5);
  EXPECT_EQ(task.Join(), 5);
  const auto heard = recorder.heard();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_FALSE(heard[0].certain);
  EXPECT_FALSE(heard[0].fatal);
  EXPECT_EQ(heard[0].tasks, std::vector<std::string>{"reader: channel receive"});
}

TEST_F(DeadlockWatchTest, SleepingTasksAreNoDeadlock) {
  Recorder recorder;
  curg::Run({.workers = 2, .deadlock_warning = 0s}, [] { SleepFor(300ms); });
  EXPECT_TRUE(recorder.heard().empty());
}

TEST_F(DeadlockWatchTest, AWaitWithADeadlineIsNoDeadlock) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 2}).value();
  Channel<int> channel;
  auto task = runtime->Go([&] { return *channel.Receive(); });
  EXPECT_FALSE(task.JoinUntil(Deadline::After(300ms)));
  channel.Send(0);
  std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(recorder.heard().empty());
}

TEST_F(DeadlockWatchTest, AnotherRuntimeMayWakeATask) {
  Recorder recorder;
  auto one = Runtime::Create({.workers = 1}).value();
  auto other = Runtime::Create({.workers = 1}).value();
  Channel<int> channel;
  auto sender = other->Go([&] {
    SleepFor(300ms);
    channel.Send(3);
  });
  EXPECT_EQ(one->Run([&] { return *channel.Receive(); }), 3);
  sender.Join();
  EXPECT_TRUE(recorder.heard().empty());
}

TEST_F(DeadlockWatchTest, ARuntimeWithoutTasksIsNoDeadlock) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 2, .deadlock_warning = 0s}).value();
  std::this_thread::sleep_for(200ms);
  EXPECT_TRUE(recorder.heard().empty());
}

TEST_F(DeadlockWatchTest, CanBeSwitchedOff) {
  Recorder recorder;
  auto runtime =
      Runtime::Create({.workers = 1, .deadlock = DeadlockAction::kNone, .deadlock_warning = 0s})
          .value();
  Channel<int> channel;
  auto task = runtime->Go([&] { return *channel.Receive(); });
  std::this_thread::sleep_for(200ms);
  channel.Send(1);
  EXPECT_EQ(task.Join(), 1);
  EXPECT_TRUE(recorder.heard().empty());
}

// Their stacks are gone with their runtime.
TEST_F(DeadlockWatchTest, AbandonedTasksAreNotShown) {
  Recorder recorder;
  static auto* const never = new Channel<int>;  // has waiters for ever
  curg::Run({.workers = 1}, [] {
    for (int i = 0; i < 10; ++i) Go([] { never->Receive(); }).Detach();
    SleepFor(1ms);
  });
  auto runtime = Runtime::Create({.workers = 1, .deadlock_warning = 20ms}).value();
  Channel<int> channel;
  auto task = runtime->Go({.name = "alive"}, [&] { return *channel.Receive(); });
  while (recorder.heard().empty()) std::this_thread::sleep_for(1ms);
  channel.Send(5);
  EXPECT_EQ(task.Join(), 5);
  EXPECT_EQ(recorder.heard()[0].tasks, std::vector<std::string>{"alive: channel receive"});
}

}  // namespace
}  // namespace curg
