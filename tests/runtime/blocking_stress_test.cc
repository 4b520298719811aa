// SPDX-License-Identifier: Apache-2.0
//
// Processors that change hands all the time: calls of Blocking of all lengths among everything else
// tasks do.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/stats.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/semaphore.h"
#include "runtime/system_stack.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

#if defined(CURG_TSAN) || defined(CURG_ASAN)
constexpr int kScale = 1;
#else
constexpr int kScale = 5;
#endif

class BlockingStress : public testing::TestWithParam<int> {
 protected:
  static unsigned Seed() {
    const unsigned seed = std::random_device{}();
    std::printf("seed %u\n", seed);
    return seed;
  }

  Watchdog watchdog_;
  const unsigned seed_ = Seed();
};

void BlockFor(std::minstd_rand& random) {
  switch (random() % 8) {
    case 0:
      return Blocking([&] { usleep(static_cast<useconds_t>(random() % 300)); });
    case 1:
      return Blocking([&] {
        for (unsigned i = random() % 20'000; i > 0; --i) __builtin_ia32_pause();
      });
    default:
      return Blocking([&] {
        for (unsigned i = random() % 200; i > 0; --i) __builtin_ia32_pause();
      });
  }
}

TEST_P(BlockingStress, AmongEverythingElse) {
  constexpr int kTasks = 24;
  auto runtime = Runtime::Create({.workers = GetParam(), .blocking_max = 8}).value();
  std::atomic<int> sum{0};
  const int rounds = 400 * kScale;
  runtime->Run([&] {
    Channel<int> numbers(4);
    Mutex mutex;
    int guarded = 0;
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(Go([&, i] {
        std::minstd_rand random(seed_ + static_cast<unsigned>(i));
        for (int round = 0; round < rounds; ++round) {
          watchdog_.Progress();
          switch (random() % 8) {
            case 0:
              Go([&] { sum.fetch_add(1); }).Join();
              break;
            case 1: {
              sum.fetch_add(1);
              const std::lock_guard lock(mutex);
              if (random() % 4 == 0) BlockFor(random);
              ++guarded;
              break;
            }
            case 2:
              sum.fetch_add(1);
              SleepFor(std::chrono::microseconds(random() % 200));
              break;
            case 3:
              Blocking([&] { Go([&] { sum.fetch_add(1); }).Join(); });
              break;
            case 4:
              sum.fetch_add(1);
              Yield();
              break;
            case 5:
              Blocking([&] { OnSystemStack([&] { sum.fetch_add(1); }); });
              break;
            case 6: {
              sum.fetch_add(1);
              const auto soon = Deadline::After(std::chrono::microseconds(random() % 100));
              if (i % 2 == 0) {
                (void)numbers.SendUntil(1, soon);
              } else {
                (void)numbers.ReceiveUntil(soon);
              }
              break;
            }
            default:
              sum.fetch_add(1);
              BlockFor(random);
          }
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
  EXPECT_EQ(sum.load(), kTasks * rounds);
}

// Many stand in line, and many give up: nobody is forgotten, and no place is lost.
TEST_P(BlockingStress, InLineAtTheBound) {
  constexpr int kMax = 2;
  auto runtime = Runtime::Create({.workers = GetParam(), .blocking_max = kMax}).value();
  std::atomic<int> inside{0}, too_many{0};
  const int rounds = 200 * kScale;
  runtime->Run([&] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 16; ++i) {
      tasks.push_back(Go([&, i] {
        std::minstd_rand random(seed_ + static_cast<unsigned>(i));
        for (int round = 0; round < rounds; ++round) {
          watchdog_.Progress();
          const auto call = [&] {
            if (++inside > kMax) ++too_many;
            if (random() % 16 == 0) usleep(static_cast<useconds_t>(random() % 100));
            --inside;
          };
          if (i % 2 == 0) {
            Blocking(call);
          } else {
            (void)BlockingUntil(Deadline::After(std::chrono::microseconds(random() % 100)), call);
          }
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
  EXPECT_EQ(too_many, 0);
  EXPECT_EQ(runtime->Stats().tasks_blocking, 0);
  EXPECT_EQ(runtime->Stats().blocking_queue, 0);
}

// One task at a time is runnable; whoever has the processor goes into Blocking with it.
TEST_P(BlockingStress, HandedOnWhileBlocked) {
  auto runtime = Runtime::Create({.workers = GetParam()}).value();
  const int rounds = 1000 * kScale;
  runtime->Run([&] {
    Semaphore ping(0), pong(0);
    auto other = Go([&] {
      std::minstd_rand random(seed_ + 1);
      for (int i = 0; i < rounds; ++i) {
        ping.Acquire();
        BlockFor(random);
        pong.Release();
      }
    });
    std::minstd_rand random(seed_);
    for (int i = 0; i < rounds; ++i) {
      watchdog_.Progress();
      ping.Release();
      BlockFor(random);  // its processor holds the other in run next
      pong.Acquire();
    }
    other.Join();
  });
}

// Work from outside while every processor may be in Blocking.
TEST_P(BlockingStress, WorkFromOutside) {
  auto runtime = Runtime::Create({.workers = GetParam()}).value();
  std::atomic<bool> end{false};
  std::vector<JoinHandle<void>> blockers;
  for (int i = 0; i < GetParam(); ++i) {
    blockers.push_back(runtime->Go([&, i] {
      std::minstd_rand random(seed_ + static_cast<unsigned>(i));
      while (!end) {
        BlockFor(random);
        Yield();
      }
    }));
  }
  for (int i = 0; i < 500 * kScale; ++i) {
    runtime->Go([] {}).Join();
    watchdog_.Progress();
  }
  end = true;
  for (auto& blocker : blockers) blocker.Join();
}

TEST_P(BlockingStress, RuntimesThatEnd) {
  for (int i = 0; i < 40 * kScale; ++i) {
    auto runtime = Runtime::Create({.workers = GetParam()}).value();
    std::vector<JoinHandle<void>> tasks;
    for (int j = 0; j < 6; ++j) {
      tasks.push_back(runtime->Go([&, j] {
        std::minstd_rand random(seed_ + static_cast<unsigned>(i * 10 + j));
        for (int k = 0; k < 5; ++k) BlockFor(random);
      }));
    }
    for (auto& task : tasks) task.Join();
    watchdog_.Progress();
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, BlockingStress, testing::Values(1, 2, 4));

}  // namespace
}  // namespace curg::internal
