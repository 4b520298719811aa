// SPDX-License-Identifier: Apache-2.0
//
// Everything at once on several workers and plain threads, with tiny capacities, short deadlines
// and yields at random: for the thread sanitizer, and for lost wake-ups, which show as a hang.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/sync/barrier.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/condition_variable.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/select.h"
#include "runtime/sync/semaphore.h"
#include "runtime/sync/shared_mutex.h"
#include "runtime/sync/wait_group.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

constexpr int kRounds = 1500;

// A coin of its own for each task.
class Dice {
 public:
  explicit Dice(int seed) : random_(seed) {}
  bool OneIn(int n) { return random_() % n == 0; }
  void MaybeYield() {
    if (OneIn(3)) Yield();
  }
  Deadline Soon() { return Deadline::After(std::chrono::microseconds(random_() % 200)); }

 private:
  std::minstd_rand random_;
};

// Runs `body(index)` on `tasks` tasks and on `threads` plain threads.
template <typename Body>
void OnAll(int tasks, int threads, Body body) {
  std::vector<std::thread> plain;
  for (int i = 0; i < threads; ++i) plain.emplace_back([&, i] { body(tasks + i); });
  Run({.workers = 4}, [&] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < tasks; ++i) handles.push_back(Go([&, i] { body(i); }));
    for (JoinHandle<void>& handle : handles) handle.Join();
  });
  for (std::thread& thread : plain) thread.join();
}

// What was sent is received, whoever gives up and however it was sent.
TEST(SyncStressTest, ChannelsKeepEveryValue) {
  for (size_t capacity : {0, 1, 2}) {
    Channel<std::unique_ptr<int64_t>> ch(capacity);
    std::atomic<int64_t> sent{0};
    std::atomic<int64_t> received{0};
    std::atomic<int> senders{6};
    auto take = [&](const std::unique_ptr<int64_t>& value) { received += *value; };
    OnAll(10, 2, [&](int index) {
      Dice dice(index);
      if (index % 2 == 1) {
        while (true) {
          dice.MaybeYield();
          if (dice.OneIn(2)) {
            auto value = ch.Receive();
            if (!value) return;
            take(*value);
          } else {
            auto value = ch.ReceiveUntil(dice.Soon());
            if (value) take(*value);
            if (value.status == WaitStatus::kClosed) return;
          }
        }
      }
      for (int round = 1; round <= kRounds; ++round) {
        auto value = std::make_unique<int64_t>(index * kRounds + round);
        const int64_t amount = *value;
        dice.MaybeYield();
        if (dice.OneIn(3)) {
          if (ch.SendUntil(std::move(value), dice.Soon()) != WaitStatus::kOk) {
            ASSERT_NE(value, nullptr);
            continue;
          }
        } else if (dice.OneIn(3)) {
          if (ch.TrySend(std::move(value)) != WaitStatus::kOk) continue;
        } else {
          ch.Send(std::move(value));
        }
        sent += amount;
      }
      if (--senders == 0) ch.Close();
    });
    EXPECT_EQ(sent, received) << "capacity " << capacity;
  }
}

// Selects that serve each other across three channels, and give up now and then.
TEST(SyncStressTest, SelectsCarryOutOneCase) {
  Channel<int64_t> channels[3] = {Channel<int64_t>(0), Channel<int64_t>(1), Channel<int64_t>(0)};
  std::atomic<int64_t> sent{0};
  std::atomic<int64_t> received{0};
  OnAll(8, 2, [&](int index) {
    Dice dice(index);
    auto receive = [&](std::optional<int64_t> value) { received += *value; };
    for (int round = 0; round < kRounds; ++round) {
      const int64_t value = index * kRounds + round;
      auto send = [&] { sent += value; };
      dice.MaybeYield();
      Select(OnSend(channels[index % 3], value, send),
             OnReceive(channels[(index + 1) % 3], receive),
             OnReceive(channels[(index + 2) % 3], receive), OnTimeout(dice.Soon(), [] {}));
    }
  });
  for (Channel<int64_t>& ch : channels) {
    while (Received<int64_t> left = ch.TryReceive()) received += *left;
  }
  EXPECT_EQ(sent, received);
}

// Stop requests that race with what they cancel.
TEST(SyncStressTest, StopRequestsRaceWithPartners) {
  Channel<int> ch;
  std::atomic<int> sent{0};
  std::atomic<int> received{0};
  OnAll(6, 0, [&](int index) {
    Dice dice(index);
    for (int round = 0; round < kRounds; ++round) {
      std::stop_source stop;
      JoinHandle<void> stopper = Go([&] {
        if (round % 2 == 0) Yield();
        stop.request_stop();
      });
      dice.MaybeYield();
      if (index % 2 == 0) {
        sent += ch.Send(1, stop.get_token()) == WaitStatus::kOk;
      } else {
        received += ch.Receive(stop.get_token()).status == WaitStatus::kOk;
      }
      stopper.Join();
    }
  });
  EXPECT_EQ(sent, received);
}

TEST(SyncStressTest, TheMutexExcludesWhoeverGivesUp) {
  Mutex mutex;
  int64_t count = 0;  // guarded by mutex
  std::atomic<int64_t> expected{0};
  OnAll(8, 2, [&](int index) {
    Dice dice(index);
    for (int round = 0; round < kRounds; ++round) {
      std::unique_lock lock(mutex, std::defer_lock);
      if (dice.OneIn(3)) {
        if (!lock.try_lock_until(std::chrono::steady_clock::now() + 50us)) continue;
      } else if (dice.OneIn(4)) {
        if (!lock.try_lock()) continue;
      } else {
        lock.lock();
      }
      ++count;
      ++expected;
      dice.MaybeYield();
    }
  });
  EXPECT_EQ(count, expected);
}

TEST(SyncStressTest, TheSharedMutexAndTheSemaphoreBoundWhoIsInside) {
  SharedMutex mutex;
  Semaphore slots(3);
  int64_t value = 0;  // guarded by mutex
  std::atomic<int> inside{0};
  std::atomic<int64_t> written{0};
  OnAll(8, 2, [&](int index) {
    Dice dice(index);
    for (int round = 0; round < kRounds; ++round) {
      if (slots.AcquireUntil(1, dice.Soon()) == WaitStatus::kOk) {
        EXPECT_LE(++inside, 3);
        dice.MaybeYield();
        --inside;
        slots.Release();
      }
      if (dice.OneIn(3)) {
        if (mutex.LockUntil(dice.Soon()) != WaitStatus::kOk) continue;
        ++value;
        ++written;
        dice.MaybeYield();
        mutex.unlock();
      } else if (dice.OneIn(2)) {
        if (mutex.LockSharedUntil(dice.Soon()) != WaitStatus::kOk) continue;
        const int64_t before = value;
        dice.MaybeYield();
        EXPECT_EQ(value, before);
        mutex.unlock_shared();
      } else {
        std::shared_lock lock(mutex);
        dice.MaybeYield();
      }
    }
  });
  EXPECT_EQ(value, written);
}

TEST(SyncStressTest, ConditionVariablesLoseNoNotification) {
  Mutex mutex;
  ConditionVariable changed;
  int tokens = 0;  // guarded by mutex
  OnAll(8, 2, [&](int index) {
    Dice dice(index);
    for (int round = 0; round < kRounds; ++round) {
      dice.MaybeYield();
      std::unique_lock lock(mutex);
      if (index % 2 == 0) {
        ++tokens;
        changed.NotifyOne();
        continue;
      }
      while (changed.WaitUntil(
                 lock, [&] { return tokens > 0; }, dice.Soon()) != WaitStatus::kOk) {
      }
      --tokens;
      // One that gave up may have been notified as well: pass it on.
      if (tokens > 0) changed.NotifyOne();
    }
  });
  EXPECT_EQ(tokens, 0);
}

TEST(SyncStressTest, BarriersAndWaitGroupsCount) {
  constexpr int kParties = 6;
  Barrier barrier(kParties);
  std::atomic<int> arrived{0};
  OnAll(4, 2, [&](int index) {
    Dice dice(index);
    for (int round = 1; round <= kRounds; ++round) {
      dice.MaybeYield();
      ++arrived;
      while (barrier.ArriveAndWaitUntil(dice.Soon()) != WaitStatus::kOk) {
      }
      EXPECT_GE(arrived, round * kParties);
    }
  });
  OnAll(4, 1, [&](int index) {
    for (int round = 0; round < kRounds / 3; ++round) {
      auto group = std::make_unique<WaitGroup>(2);
      std::thread thread([group = group.get()] { group->Done(); });
      if (index < 4) {
        JoinHandle<void> task = Go([group = group.get()] { group->Done(); });
        group->Wait();
        group.reset();
        task.Join();
      } else {
        group->Done();
        group->Wait();
        group.reset();
      }
      thread.join();
    }
  });
}

}  // namespace
}  // namespace curg
