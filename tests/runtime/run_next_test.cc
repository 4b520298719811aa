// SPDX-License-Identifier: Apache-2.0
//
// What goes through run next does so before the ring, but only so many times in a row: tasks that
// wake each other for ever do not keep others from running. Turns are counted, on one worker and
// while the clock stands still, so each run is the same.
#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/deadline.h"
#include "runtime/go.h"
#include "runtime/runtime.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/semaphore.h"

namespace curg {
namespace {

using testing::Each;
using testing::Le;

constexpr int kTurns = 3000;
constexpr int kTurnsInARow = 32;        // as Scheduler::kNextStreakMax
constexpr int kGlobalQueuePeriod = 61;  // as Scheduler::kGlobalPeriod

// Runs `chain(turn)`, whose tasks are to call turn() each time that one of them runs, kTurns times
// in all, beside a task that yields; returns how many turns there were between two of that one's.
template <typename Chain>
std::vector<int> TurnsBetweenYields(Chain chain) {
  return Run({.workers = 1, .virtual_time = true}, [&] {
    std::vector<int> between;
    int turns = 0;
    bool over = false;
    auto other = Go([&] {
      for (; !over; Yield()) between.push_back(std::exchange(turns, 0));
    });
    Yield();
    const auto begin = Now();
    chain([&turns] { ++turns; });
    EXPECT_EQ(Now(), begin);
    between.push_back(turns);
    over = true;
    other.Join();
    between.erase(between.begin());  // before the chain began
    return between;
  });
}

void ExpectBounded(const std::vector<int>& between) {
  EXPECT_THAT(between, Each(Le(kTurnsInARow + 1)));
}

// The chain goes first, for as many turns as it may.
void ExpectFirstButBounded(const std::vector<int>& between) {
  ExpectBounded(between);
  EXPECT_GE(std::ranges::count_if(between, [](int turns) { return turns >= kTurnsInARow - 1; }),
            kTurns / (kTurnsInARow + 1) - 2);
}

TEST(RunNext, TwoThatTalkLetAThirdRun) {
  ExpectFirstButBounded(TurnsBetweenYields([](auto turn) {
    Channel<int> ping;
    Channel<int> pong;
    auto answerer = Go([&] {
      for (int i : ping) {
        turn();
        pong.Send(i);
      }
    });
    for (int i = 0; i < kTurns / 2; ++i) {
      ping.Send(i);
      pong.Receive();
      turn();
    }
    ping.Close();
    answerer.Join();
  }));
}

TEST(RunNext, ManyInACircleLetAnotherRun) {
  ExpectFirstButBounded(TurnsBetweenYields([](auto turn) {
    constexpr int kTasks = 10;
    std::deque<Semaphore> mine;
    for (int i = 0; i < kTasks; ++i) mine.emplace_back(0);
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(Go([&, i] {
        for (int round = 0; round < kTurns / kTasks; ++round) {
          mine[i].Acquire();
          turn();
          mine[(i + 1) % kTasks].Release();
        }
      }));
    }
    Yield();  // until they wait
    mine[0].Release();
    for (auto& task : tasks) task.Join();
  }));
}

// As often as `left` says, and one more time.
template <typename Turn>
void StartOneAfterAnother(int left, Turn& turn, Channel<bool>& done) {
  Go([left, &turn, &done] {
    turn();
    left > 0 ? StartOneAfterAnother(left - 1, turn, done) : done.Send(true);
  }).Detach();
}

// Each turn is another task's, which has the run-next slot from the one before.
TEST(RunNext, TasksThatStartEachOtherLetAnotherRun) {
  ExpectFirstButBounded(TurnsBetweenYields([](auto turn) {
    Channel<bool> done(1);
    StartOneAfterAnother(kTurns, turn, done);
    done.Receive();
  }));
}

// A task that ends goes on as its joiner only where nothing else is at hand.
TEST(RunNext, OneThatStartsAndJoinsLetsAnotherRun) {
  ExpectBounded(TurnsBetweenYields([](auto turn) {
    for (int i = 0; i < kTurns / 2; ++i) {
      Go([&turn] { turn(); }).Join();
      turn();
    }
  }));
}

// What comes from outside stands in the global queue, not in the ring.
TEST(RunNext, TwoThatTalkLetOneFromOutsideRun) {
  auto runtime = Runtime::Create({.workers = 1, .virtual_time = true}).value();
  runtime->Run([&] {
    int turns = 0;
    int turns_before = -1;
    Semaphore ping(0);
    Semaphore pong(0);
    auto answerer = Go([&] {
      for (int i = 0; i < kTurns; ++i) {
        ping.Acquire();
        ++turns;
        pong.Release();
      }
    });
    Yield();
    JoinHandle<void> outsider;
    std::thread outside([&] { outsider = runtime->Go([&] { turns_before = turns; }); });
    outside.join();
    for (int i = 0; i < kTurns; ++i) {
      ping.Release();
      pong.Acquire();
      ++turns;
    }
    answerer.Join();
    outsider.Join();
    EXPECT_LE(turns_before, kGlobalQueuePeriod + 1);
  });
}

}  // namespace
}  // namespace curg
