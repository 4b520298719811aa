// SPDX-License-Identifier: Apache-2.0
//
// ClaimWaiter under fire: wakers and deadlines that come at every moment of a wait.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/claim_waiter.h"
#include "runtime/context.h"
#include "runtime/deadline.h"
#include "runtime/go.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/timers.h"
#include "tests/runtime/bell.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

using Clock = std::chrono::steady_clock;

#ifdef CURG_TSAN
constexpr int kRounds = 2'000;
#else
constexpr int kRounds = 20'000;
#endif

// A waiter that is woken right after it has lain down returns then, not at its far deadline.
template <typename StartWaiter>
void RingAtOnce(StartWaiter start_waiter, const std::function<void()>& pause) {
  Watchdog watchdog;
  Bell bell;
  std::atomic<int> heard{0};
  auto waiter = start_waiter([&] {
    const Clock::time_point never = Clock::now() + std::chrono::hours(10);
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(bell.Await(never));
      heard.store(i + 1, std::memory_order_release);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    bell.RingWaiter();
    while (heard.load(std::memory_order_acquire) <= i) pause();
    watchdog.Progress();
  }
  waiter();
}

TEST(ParkStress, TaskRungByPlainThread) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  RingAtOnce(
      [&](auto body) {
        auto handle = std::make_shared<JoinHandle<void>>(runtime->Go(body));
        return [handle] { handle->Join(); };
      },
      [] {});
}

TEST(ParkStress, TaskRungByTask) {
  curg::Run({.workers = 3}, [] {
    RingAtOnce(
        [](auto body) {
          auto handle = std::make_shared<JoinHandle<void>>(Go(body));
          return [handle] { handle->Join(); };
        },
        [] { Yield(); });
  });
}

// Plain threads keep the first processor's timer queue busy, so that arming a deadline takes a
// while: the wake-up must not get ahead of it.
TEST(ParkStress, TaskRungWhileItArmsItsDeadline) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  Scheduler* const scheduler = runtime->Run([] { return CurrentTask()->scheduler; });
  std::atomic<bool> done{false};
  std::vector<std::thread> meddlers;
  for (int i = 0; i < 2; ++i) {
    meddlers.emplace_back([&] {
      Timer timer;
      timer.fire = [](Timer*) {};
      timer.when = TimerQueue::kNever - 1;
      while (!done.load()) {
        scheduler->AddTimer(&timer);
        EXPECT_TRUE(TimerQueue::Cancel(&timer));
      }
    });
  }
  runtime->Run([] {
    RingAtOnce(
        [](auto body) {
          auto handle = std::make_shared<JoinHandle<void>>(Go(body));
          return [handle] { handle->Join(); };
        },
        [] { Yield(); });
  });
  done.store(true);
  for (std::thread& meddler : meddlers) meddler.join();
}

TEST(ParkStress, PlainThreadRungByTask) {
  curg::Run({.workers = 2}, [] {
    RingAtOnce(
        [](auto body) {
          auto thread = std::make_shared<std::thread>(body);
          return [thread] { thread->join(); };
        },
        [] { Yield(); });
  });
}

// Rings and deadlines at the same time: each ring is heard once, whoever wins. Goes on until both
// have won: a busy machine may run one side alone for a while.
void RingNearDeadline(const std::function<void(std::function<void()>)>& run_beside) {
  Watchdog watchdog;
  Bell bell;
  std::atomic<bool> done{false};
  std::atomic<int> rings{0};
  std::atomic<int> heard{0};
  std::atomic<int> timeouts{0};
  run_beside([&] {
    std::minstd_rand random(7);
    while (rings < kRounds / 4 || heard == 0 || timeouts == 0) {
      const Clock::time_point until = Clock::now() + std::chrono::nanoseconds(random() % 40'000);
      while (Clock::now() < until) {
      }
      ++rings;
      bell.Ring();
      watchdog.Progress();
    }
    done.store(true);
  });
  std::minstd_rand random(11);
  while (!done.load()) {
    const bool rung = bell.Await(Clock::now() + std::chrono::nanoseconds(random() % 40'000));
    ++(rung ? heard : timeouts);
  }
  // Several rings before one wait are one; more were heard than rung would be an invention.
  EXPECT_LE(heard, rings);
  bell.Ring();
  EXPECT_TRUE(bell.Await(Clock::now() + std::chrono::hours(1)));
}

TEST(ParkStress, TaskRungNearItsDeadline) {
  curg::Run({.workers = 2}, [] {
    std::thread thread;
    RingNearDeadline([&](std::function<void()> body) { thread = std::thread(std::move(body)); });
    thread.join();
  });
}

TEST(ParkStress, PlainThreadRungNearItsDeadline) {
  std::thread thread;
  RingNearDeadline([&](std::function<void()> body) { thread = std::thread(std::move(body)); });
  thread.join();
}

// A plain thread whose waits are interrupted by signals still keeps its deadlines.
TEST(ParkStress, SignalsDoNotLoseADeadline) {
  Watchdog watchdog;
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  struct sigaction previous;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &previous), 0);
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    Bell bell;
    for (int i = 0; i < kRounds / 20; ++i) {
      EXPECT_FALSE(bell.Await(Clock::now() + std::chrono::microseconds(20)));
      watchdog.Progress();
    }
    done.store(true);
  });
  while (!done.load()) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  waiter.join();
  sigaction(SIGUSR1, &previous, nullptr);
}

}  // namespace
}  // namespace curg::internal
