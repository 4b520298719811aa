// SPDX-License-Identifier: Apache-2.0
//
// Storms: very many tasks, sleepers and runtimes.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

#ifdef CURG_TSAN
constexpr int kAlive = 2'000;  // the sanitizer follows only so many
constexpr int kStorms = 3;
#else
constexpr int kAlive = 100'000;
constexpr int kStorms = 1;
#endif

TEST(SpawnStress, OneSpawner) {
  Watchdog watchdog;
  for (int workers : {1, 4}) {
    curg::Run({.workers = workers}, [&] {
      for (int storm = 0; storm < kStorms; ++storm) {
        std::vector<JoinHandle<int>> handles;
        handles.reserve(kAlive);
        for (int i = 0; i < kAlive; ++i) {
          handles.push_back(Go([i] { return i; }));
          watchdog.Progress();
        }
        for (int i = 0; i < kAlive; ++i) {
          ASSERT_EQ(handles[i].Join(), i);
          watchdog.Progress();
        }
      }
    });
  }
}

TEST(SpawnStress, ManySpawners) {
  Watchdog watchdog;
  std::atomic<int> ran{0};
  curg::Run({.workers = 4}, [&] {
    std::vector<JoinHandle<void>> spawners;
    for (int t = 0; t < 8; ++t) {
      spawners.push_back(Go([&] {
        std::vector<JoinHandle<void>> handles;
        for (int i = 0; i < kAlive / 10; ++i) {
          handles.push_back(Go([&] {
            ran.fetch_add(1, std::memory_order_relaxed);
            watchdog.Progress();
          }));
          if (i % 100 == 0) Yield();
        }
        for (auto& handle : handles) handle.Join();
      }));
    }
    for (auto& spawner : spawners) spawner.Join();
  });
  EXPECT_EQ(ran, 8 * (kAlive / 10));
}

// Plain threads throw tasks in, unjoined.
TEST(SpawnStress, DetachedFromPlainThreads) {
  Watchdog watchdog;
  auto runtime = Runtime::Create({.workers = 3}).value();
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kAlive / 10; ++i) {
        runtime->Go([&] { ran.fetch_add(1); }).Detach();
        watchdog.Progress();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (ran < 3 * (kAlive / 10)) std::this_thread::yield();
}

TEST(SpawnStress, Sleepers) {
  Watchdog watchdog;
  curg::Run({.workers = 4}, [&] {
    std::vector<JoinHandle<void>> sleepers;
    for (int i = 0; i < kAlive / 5; ++i) {
      sleepers.push_back(Go([&watchdog, i] {
        for (int round = 1; round <= 5; ++round) {
          const auto start = std::chrono::steady_clock::now();
          const auto nap = std::chrono::microseconds((i * 7919 + round * 104729) % 3000);
          SleepFor(nap);
          EXPECT_GE(std::chrono::steady_clock::now() - start, nap);
          watchdog.Progress();
        }
      }));
    }
    for (auto& sleeper : sleepers) sleeper.Join();
  });
}

TEST(SpawnStress, RuntimesComeAndGo) {
  Watchdog watchdog;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&watchdog, t] {
      for (int i = 0; i < 50; ++i) {
        const int sum = curg::Run({.workers = 1 + (i + t) % 3}, [i] {
          std::vector<JoinHandle<int>> handles;
          for (int j = 0; j < 20; ++j) {
            handles.push_back(Go([j] {
              Yield();
              return j;
            }));
          }
          int total = 0;
          for (auto& handle : handles) total += handle.Join();
          if (i % 5 == 0) Go([] { SleepFor(std::chrono::hours(1)); }).Detach();  // abandoned
          return total;
        });
        ASSERT_EQ(sum, 190);
        watchdog.Progress();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace curg::internal
