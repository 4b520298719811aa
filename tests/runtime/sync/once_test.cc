// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/once.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "tests/runtime/sync/sync_probe.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

class OnceTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, OnceTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(OnceTest, RunsOnceAndAllWaitForIt) {
  Run([] {
    Once once;
    int runs = 0;
    std::vector<JoinHandle<int>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(Go([&] {
        once.Do([&] {
          SleepFor(2ms);
          ++runs;
        });
        return runs;
      }));
    }
    for (JoinHandle<int>& task : tasks) EXPECT_EQ(task.Join(), 1);
    EXPECT_TRUE(once.done());
  });
}

TEST_P(OnceTest, AnExceptionLeavesItToTheNext) {
  Run([] {
    Once once;
    std::atomic<int> tries{0};
    std::atomic<int> caught{0};
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(Go([&] {
        try {
          once.Do([&] {
            const int mine = ++tries;
            Yield();
            if (mine <= 3) throw std::runtime_error("not yet");
          });
        } catch (const std::runtime_error&) {
          ++caught;
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(tries, 4);
    EXPECT_EQ(caught, 3);
  });
}

TEST_P(OnceTest, GivingUpLeavesTheCallAlone) {
  Run([] {
    Once once;
    std::atomic<bool> started{false};
    std::atomic<bool> go_on{false};
    JoinHandle<void> first = Go([&] {
      once.Do([&] {
        started = true;
        while (!go_on) Yield();
      });
    });
    while (!started) Yield();
    std::stop_source stop;
    JoinHandle<WaitStatus> second = Go([&] { return once.Do([] {}, stop.get_token()); });
    AwaitWaiters(once);
    EXPECT_EQ(once.DoUntil([] { FAIL(); }, Deadline::After(2ms)), WaitStatus::kTimeout);
    stop.request_stop();
    EXPECT_EQ(second.Join(), WaitStatus::kCancelled);
    go_on = true;
    first.Join();
    EXPECT_EQ(once.DoUntil([] { FAIL(); }, Deadline::After(0ms)), WaitStatus::kOk);
  });
}

TEST_P(OnceTest, PlainThreadsAndTasksShareIt) {
  Once once;
  std::atomic<int> runs{0};
  const auto call = [&] {
    once.Do([&] {
      SleepFor(1ms);
      ++runs;
    });
    EXPECT_EQ(runs, 1);
  };
  std::thread thread(call);
  Run(call);
  thread.join();
}

TEST_P(OnceTest, ADoInsideItselfThrows) {
  Run([] {
    Once once;
    EXPECT_THROW(once.Do([&] { once.Do([] {}); }), std::system_error);
    EXPECT_FALSE(once.done());
  });
}

}  // namespace
}  // namespace curg
