// SPDX-License-Identifier: Apache-2.0
#include "runtime/stats.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/sync/wait_group.h"
#include "runtime/tick_clock.h"
#include "runtime/timers.h"
#include "tests/runtime/eventually.h"

namespace curg {
namespace {

// ---- The histogram.

TEST(LatencyHistogram, BucketsCoverAllDurations) {
  EXPECT_EQ(LatencyHistogram::LowerNs(0), 0u);
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    const uint64_t lower = LatencyHistogram::LowerNs(i);
    const uint64_t upper = LatencyHistogram::LowerNs(i + 1);
    ASSERT_LT(lower, upper);
    EXPECT_EQ(LatencyHistogram::BucketOf(lower), i);
    EXPECT_EQ(LatencyHistogram::BucketOf(upper - 1), i);
    EXPECT_LE((upper - lower - 1) * 8, lower);  // an eighth wide
  }
  EXPECT_EQ(LatencyHistogram::LowerNs(LatencyHistogram::kBuckets), uint64_t{1} << 37);
  EXPECT_EQ(LatencyHistogram::BucketOf(UINT64_MAX), LatencyHistogram::kBuckets - 1);
}

TEST(LatencyHistogram, Quantiles) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.p50_ns(), 0u);
  for (uint64_t ns = 1; ns <= 1000; ++ns) histogram.Add(LatencyHistogram::BucketOf(ns), 1);
  EXPECT_EQ(histogram.total(), 1000u);
  EXPECT_GE(histogram.p50_ns(), 500u);
  EXPECT_LE(histogram.p50_ns(), 500u * 9 / 8);
  EXPECT_GE(histogram.p99_ns(), 990u);
  EXPECT_LE(histogram.p99_ns(), 990u * 9 / 8);
  EXPECT_EQ(histogram.QuantileNs(0), 1u);
}

// ---- The clock.

TEST(TickClock, AgreesWithTheMonotonicClock) {
  internal::TickClock::Calibrate();
  // Lengthened until it is right: between the two reads of a pair this thread may lose its CPU.
  for (int64_t length = 10'000'000;; length *= 2) {
    const uint64_t ticks = internal::TickClock::Now();
    const int64_t ns = internal::MonotonicNow();
    std::this_thread::sleep_for(std::chrono::nanoseconds(length));
    const int64_t by_ticks = internal::TickClock::ToNs(internal::TickClock::Now() - ticks);
    const int64_t by_clock = internal::MonotonicNow() - ns;
    if (by_ticks > by_clock * 99 / 100 && by_ticks < by_clock * 101 / 100) break;
    ASSERT_LT(length, 2'000'000'000) << by_ticks << " ns by ticks, " << by_clock << " by the clock";
  }
}

// ---- The stats.

bool IsQuiet(const RuntimeStats& stats, uint64_t parked) {
  return stats.tasks_parked == parked && stats.workers_spinning == 0 &&
         stats.workers_idle >= stats.workers + stats.workers_surplus;
}

// Until nothing moves: what is read at one time is of slightly different instants, so it counts
// when nothing has changed until the next.
RuntimeStats AwaitParked(Runtime& runtime, uint64_t parked) {
  RuntimeStats before;
  RuntimeStats stats;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    before = std::exchange(stats, runtime.Stats());
  } while (!IsQuiet(before, parked) || !IsQuiet(stats, parked) || before.ended != stats.ended ||
           before.parks != stats.parks || before.wakeups != stats.wakeups);
  return stats;
}

// Ends of sleeps that are close together do not wake the worker one by one.
TEST(Stats, ManySleepersDoNotKeepAWorkerFromSleeping) {
  constexpr int kSleepers = 2000;
  curg::Run({.workers = 1}, [] {
    const auto start = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    std::vector<JoinHandle<void>> sleepers;
    for (int i = 0; i < kSleepers; ++i) {
      sleepers.push_back(Go([end = start + i * std::chrono::microseconds(5)] {
        SleepUntil(end);
        EXPECT_GE(std::chrono::steady_clock::now(), end);
      }));
    }
    for (auto& sleeper : sleepers) sleeper.Join();
    EXPECT_LT(ReadStats().sleeps, 400u);  // 10 ms: every 50 us, and some more
  });
}

TEST(Stats, PlainThreadHasNone) { EXPECT_EQ(ReadStats().workers, 0u); }

// Where nothing moves, the numbers are exact.
TEST(Stats, CountsTasksByState) {
  auto runtime = *Runtime::Create({.workers = 3});
  WaitGroup gate;
  gate.Add(1);
  runtime->Run([&] {
    for (int i = 0; i < 100; ++i) Go([&] { gate.Wait(); }).Detach();
    for (int i = 0; i < 10; ++i) Go([] { SleepFor(std::chrono::hours(1)); }).Detach();
  });
  const RuntimeStats stats = AwaitParked(*runtime, 110);
  EXPECT_EQ(stats.spawned, 111u);
  EXPECT_EQ(stats.ended, 1u);
  EXPECT_EQ(stats.tasks_running, 0u);
  EXPECT_EQ(stats.tasks_runnable, 0u);
  EXPECT_EQ(stats.parks, 110u);
  EXPECT_EQ(stats.wakeups, 0u);
  EXPECT_EQ(stats.timers, 10u);
  EXPECT_EQ(stats.workers, 3u);
  EXPECT_EQ(stats.workers_spinning, 0u);
  EXPECT_GE(stats.sleeps, 3u);
  EXPECT_GE(stats.stacks_in_use, 110u);
  EXPECT_GE(stats.stacks, stats.stacks_in_use + stats.stacks_cached);
  EXPECT_EQ(stats.stacks_unguarded, 0u);
  gate.Done();
  const RuntimeStats after = AwaitParked(*runtime, 10);
  EXPECT_EQ(after.ended, 101u);
  EXPECT_EQ(after.wakeups, 100u);
}

// With virtual time sysmon starts no worker beside one that the kernel does not run for a while.
TEST(Stats, RunQueuesHaveWhatIsRunnable) {
  auto runtime = *Runtime::Create({.workers = 1, .virtual_time = true});
  runtime->Run([] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 3000; ++i) tasks.push_back(Go([] {}));
    const RuntimeStats stats = ReadStats();
    EXPECT_EQ(stats.tasks_runnable, 3000u);
    EXPECT_EQ(stats.tasks_running, 1u);
    EXPECT_EQ(stats.tasks_parked, 0u);
    EXPECT_GT(stats.global_queue, 0u);  // more than a ring holds
    EXPECT_EQ(std::accumulate(stats.run_queues.begin(), stats.run_queues.end(), stats.global_queue),
              3000u);
    for (auto& task : tasks) task.Join();
  });
}

TEST(Stats, StealsAreCounted) {
  auto runtime = *Runtime::Create({.workers = 2});
  while (runtime->Stats().steals == 0) {
    runtime->Run([] {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < 100; ++i) {
        tasks.push_back(Go([] {
          const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
          while (std::chrono::steady_clock::now() < until) {
          }
        }));
      }
      for (auto& task : tasks) task.Join();
    });
  }
  const RuntimeStats stats = runtime->Stats();
  EXPECT_GE(stats.tasks_stolen, stats.steals);
  EXPECT_GT(stats.searches, 0u);
}

TEST(Stats, HeldWorkersAreCounted) {
  auto runtime = *Runtime::Create({.workers = 1});
  std::atomic<bool> end{false};
  auto hog = runtime->Go([&] {
    while (!end) {
    }
  });
  EXPECT_EQ(runtime->Run([] { return 5; }), 5);  // by a surplus worker
  EXPECT_TRUE(Eventually([&] { return runtime->Stats().workers_held == 1; }));
  end = true;
  hog.Join();
  EXPECT_TRUE(Eventually([&] { return runtime->Stats().workers_held == 0; }));
}

// One transition in 64 is timed, and what waits for a known time is seen to.
TEST(Stats, LatencyFromRunnableToRunning) {
  auto runtime = *Runtime::Create({.workers = 1, .virtual_time = true});  // as above
  constexpr int kTasks = 3200;
  constexpr auto kWait = std::chrono::milliseconds(50);
  runtime->Run([&] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) tasks.push_back(Go([] {}));
    std::this_thread::sleep_for(kWait);  // holds the only worker
    for (auto& task : tasks) task.Join();
  });
  const RuntimeStats stats = runtime->Stats();
  const uint64_t transitions = stats.spawned + stats.wakeups;
  EXPECT_GE(stats.run_latency.total(), kTasks / 64u - 10);
  EXPECT_LE(stats.run_latency.total(), transitions / 64 + 2);
  // Half of them are the joiner's. Not by the same clock as that of the sleep.
  constexpr auto kWaitNs = static_cast<uint64_t>(std::chrono::nanoseconds(kWait).count());
  EXPECT_GE(stats.run_latency.QuantileNs(0.9), kWaitNs * 99 / 100);
}

// Reading while everything moves: counts do not go back, states stay within reason.
TEST(Stats, ReadWhileTasksRun) {
  auto runtime = *Runtime::Create({.workers = 4});
  std::atomic<bool> done{false};
  std::thread reader([&] {
    RuntimeStats last;
    while (!done) {
      const RuntimeStats now = runtime->Stats();
      EXPECT_GE(now.spawned, last.spawned);
      EXPECT_GE(now.ended, last.ended);
      EXPECT_GE(now.parks, last.parks);
      EXPECT_GE(now.spawned, now.ended);
      // Sysmon may add workers, and with each a queue, while this looks.
      EXPECT_LE(last.tasks_running, now.run_queues.size());
      EXPECT_GE(now.run_latency.total(), last.run_latency.total());
      last = now;
    }
  });
  runtime->Run([] {
    for (int round = 0; round < 50; ++round) {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < 200; ++i) {
        tasks.push_back(Go([] {
          for (int j = 0; j < 10; ++j) Yield();
        }));
      }
      for (auto& task : tasks) task.Join();
    }
  });
  done = true;
  reader.join();
  const RuntimeStats stats = runtime->Stats();
  EXPECT_EQ(stats.spawned, 10'001u);
  EXPECT_EQ(stats.ended, 10'001u);
  EXPECT_EQ(stats.tasks_parked, 0u);
}

}  // namespace
}  // namespace curg
