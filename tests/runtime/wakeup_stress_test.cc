// SPDX-License-Identifier: Apache-2.0
//
// Lost wake-ups. Each round leaves one task spinning on its worker until another task has run,
// which is then runnable where only a worker that sleeps, or is just lying down, can take it. If
// nobody does, the round never ends, and the watchdog tells.
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

#if defined(CURG_ASAN) || defined(CURG_TSAN)  // which look for something else, and are slow
constexpr int kRounds = 1'000;
#else
constexpr int kRounds = 20'000;
#endif

// Holds the worker. Lets the kernel run others now and then: the machine may have fewer CPUs free
// than there are workers.
void SpinUntil(const std::atomic<bool>& flag) {
  for (int i = 1; !flag.load(std::memory_order_acquire); ++i) {
    if (i % 1000 == 0) {
      sched_yield();
    } else {
      __builtin_ia32_pause();
    }
  }
}

void SpinFor(unsigned pauses) {
  for (unsigned i = 0; i < pauses; ++i) __builtin_ia32_pause();
}

class WakeupStress : public testing::TestWithParam<int> {
 protected:
  static unsigned Seed() {
    const unsigned seed = std::random_device{}();
    std::printf("seed %u\n", seed);
    return seed;
  }

  // All rounds, or those of five seconds, but a twentieth at least: on a machine with other work a
  // round takes what the kernel makes its threads wait for each other.
  bool Goes(int round, int rounds) const {
    return round < rounds && (round < rounds / 20 || steady_clock::now() < end_);
  }

  const steady_clock::time_point end_ = steady_clock::now() + std::chrono::seconds(5);
  Watchdog watchdog_;
  std::minstd_rand random_{Seed()};
};

TEST_P(WakeupStress, WhoYieldsToAHog) {
  curg::Run({.workers = GetParam()}, [this] {
    for (int i = 0; Goes(i, kRounds); ++i) {
      std::atomic<bool> yielded{false};
      auto hog = Go([&] { SpinUntil(yielded); });
      SpinFor(random_() % 100);
      Yield();  // behind the hog
      yielded.store(true, std::memory_order_release);
      hog.Join();
      watchdog_.Progress();
    }
  });
}

TEST_P(WakeupStress, SpawnedBeforeAHog) {
  curg::Run({.workers = GetParam()}, [this] {
    for (int i = 0; Goes(i, kRounds); ++i) {
      std::atomic<bool> ran{false};
      auto displaced = Go([&] { ran.store(true, std::memory_order_release); });
      auto hog = Go([&] { SpinUntil(ran); });  // runs next
      SpinFor(random_() % 30);
      hog.Join();
      displaced.Join();
      watchdog_.Progress();
    }
  });
}

TEST_P(WakeupStress, WokenByWhoBecomesAHog) {
  curg::Run({.workers = GetParam()}, [this] {
    for (int i = 0; Goes(i, kRounds); ++i) {
      std::atomic<bool> ran{false};
      auto task = Go([&] { ran.store(true, std::memory_order_release); });
      SpinFor(random_() % 30);
      SpinUntil(ran);
      task.Join();
      watchdog_.Progress();
    }
  });
}

TEST_P(WakeupStress, BurstsFromAPlainThread) {
  auto runtime = Runtime::Create({.workers = GetParam()}).value();
  for (int i = 0; Goes(i, kRounds); ++i) {
    std::atomic<int> running{0};
    std::vector<JoinHandle<void>> burst;
    // As many as there are workers, each of which holds its worker until all of them run.
    for (int j = 0; j < GetParam(); ++j) {
      burst.push_back(runtime->Go([&running, all = GetParam()] {
        ++running;
        for (int spins = 1; running < all; ++spins) {
          if (spins % 1000 == 0) sched_yield();
        }
      }));
    }
    for (auto& handle : burst) handle.Join();
    SpinFor(random_() % 300);
    watchdog_.Progress();
  }
}

TEST_P(WakeupStress, TimerOfAHeldProcessor) {
  curg::Run({.workers = GetParam()}, [this] {
    for (int i = 0; Goes(i, kRounds / 10); ++i) {
      std::atomic<bool> woke{false};
      auto sleeper = Go([&, nap = random_() % 100] {
        SleepFor(microseconds(nap));
        woke.store(true, std::memory_order_release);
      });
      Yield();  // so that it sleeps, with its timer here
      SpinUntil(woke);
      sleeper.Join();
      watchdog_.Progress();
    }
  });
}

TEST_P(WakeupStress, TimersAloneWakeTheSleepers) {
  curg::Run({.workers = GetParam()}, [this] {
    for (int i = 0; Goes(i, kRounds / 20); ++i) {
      std::vector<JoinHandle<void>> sleepers;
      for (int j = 0; j < 4; ++j) {
        sleepers.push_back(Go([nap = nanoseconds(random_() % 200'000)] { SleepFor(nap); }));
      }
      for (auto& sleeper : sleepers) sleeper.Join();
      watchdog_.Progress();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Workers, WakeupStress, testing::Values(2, 3, 4));

}  // namespace
}  // namespace curg::internal
