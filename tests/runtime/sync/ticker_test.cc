// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/ticker.h"
#include "runtime/context.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/sync/select.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

#ifdef CURG_TSAN
constexpr int kRounds = 500;
#else
constexpr int kRounds = 5'000;
#endif

// On a plain thread, then on a task.
void OnBoth(const std::function<void()>& body) {
  body();
  curg::Run({.workers = 2}, body);
}

TEST(Ticker, TicksInStep) {
  OnBoth([] {
    const Tick start = steady_clock::now();
    Ticker ticker(2ms);
    Tick last = start;
    for (int i = 1; i <= 5; ++i) {
      const std::optional<Tick> tick = ticker.ticks().Receive();
      ASSERT_TRUE(tick.has_value());
      EXPECT_GE(*tick, start + i * 2ms);
      EXPECT_GT(*tick, last);
      last = *tick;
    }
  });
}

TEST(Ticker, LateTicksAreOne) {
  OnBoth([] {
    Ticker ticker(1ms);
    while (ticker.ticks().size() == 0) SleepFor(1ms);
    SleepFor(20ms);
    EXPECT_EQ(ticker.ticks().size(), 1u);
    ticker.Stop();
    EXPECT_EQ(ticker.ticks().size(), 0u);
    SleepFor(5ms);
    EXPECT_EQ(ticker.ticks().TryReceive().status, WaitStatus::kWouldBlock);
    EXPECT_FALSE(ticker.ticks().closed());
  });
}

TEST(Ticker, ResetChangesThePeriod) {
  OnBoth([] {
    Ticker ticker(1h);
    ticker.Reset(1ms);
    EXPECT_TRUE(ticker.ticks().Receive().has_value());
    EXPECT_TRUE(ticker.ticks().Receive().has_value());
    ticker.Reset(1h);
    EXPECT_EQ(ticker.ticks().ReceiveUntil(Deadline::After(5ms)).status, WaitStatus::kTimeout);
    ticker.Stop();
    ticker.Reset(1ms);  // it can be started again
    EXPECT_TRUE(ticker.ticks().Receive().has_value());
    ticker.Reset(std::chrono::nanoseconds::max());
  });
}

TEST(Ticker, PeriodMustBePositive) {
  curg::Run([] {
    Go({.name = "hasty"}, [] {
      try {
        Ticker ticker(0ms);
        ADD_FAILURE() << "nothing thrown";
      } catch (const std::invalid_argument& error) {
        EXPECT_EQ(error.what(), "curg: task " + std::to_string(CurrentTaskId()) +
                                    " \"hasty\": gives a Ticker a period that is not positive");
      }
      Ticker ticker(1ms);
      EXPECT_THROW(ticker.Reset(-1ms), std::invalid_argument);
      EXPECT_TRUE(ticker.ticks().Receive().has_value());
    }).Join();
  });
}

TEST(Alarm, FiresOnceEachTimeItIsSet) {
  OnBoth([] {
    const Tick start = steady_clock::now();
    Alarm alarm(2ms);
    EXPECT_GE(*alarm.channel().Receive(), start + 2ms);
    EXPECT_FALSE(alarm.pending());
    EXPECT_EQ(alarm.channel().ReceiveUntil(Deadline::After(2ms)).status, WaitStatus::kTimeout);
    EXPECT_FALSE(alarm.Cancel());
    EXPECT_FALSE(alarm.Reset(1ms));
    EXPECT_TRUE(alarm.channel().Receive().has_value());
    Alarm past{Deadline(start)};
    EXPECT_TRUE(past.channel().Receive().has_value());
    Alarm unset;
    EXPECT_FALSE(unset.pending());
    EXPECT_FALSE(unset.Cancel());
  });
}

TEST(Alarm, CancelAndReset) {
  OnBoth([] {
    Alarm alarm(1h);
    EXPECT_TRUE(alarm.pending());
    EXPECT_TRUE(alarm.Cancel());
    EXPECT_FALSE(alarm.Cancel());
    EXPECT_FALSE(alarm.Reset(1h));
    EXPECT_TRUE(alarm.Reset(1ms));
    while (alarm.pending()) SleepFor(100us);
    EXPECT_TRUE(alarm.Cancel());  // fired, but not received
    EXPECT_EQ(alarm.channel().TryReceive().status, WaitStatus::kWouldBlock);
    alarm.Reset(1ms);
    while (alarm.pending()) SleepFor(100us);
    EXPECT_TRUE(alarm.Reset(1h));
    EXPECT_EQ(alarm.channel().TryReceive().status, WaitStatus::kWouldBlock);
  });
}

TEST(Ticker, InSelect) {
  OnBoth([] {
    const Tick start = steady_clock::now();
    Ticker ticker(1ms);
    Alarm timeout;
    int ticks = 0;
    for (bool busy = true; busy;) {
      Select(OnReceive(ticker.ticks(),
                       [&](std::optional<Tick> tick) {
                         ASSERT_TRUE(tick.has_value());
                         if (++ticks == 1) timeout.Reset(20ms);
                       }),
             OnReceive(timeout.channel(), [&](auto) { busy = false; }));
    }
    EXPECT_GT(ticks, 0);
    EXPECT_LE(ticks * 1ms, steady_clock::now() - start);
  });
}

// A worker that is held delays no tick for long: others look at its timers.
TEST(Ticker, WhileItsWorkerIsHeld) {
  curg::Run({.workers = 1}, [] {
    std::atomic<bool> enough{false};
    Ticker ticker(1ms);
    auto receiver = Go([&] {
      for (int i = 0; i < 3; ++i) ticker.ticks().Receive();
      enough.store(true);
    });
    while (!enough.load()) {
    }
    receiver.Join();
  });
}

// Set, stopped and destroyed while they fire.
TEST(Alarm, StressNearTheDeadline) {
  curg::Run({.workers = 3}, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int t = 0; t < 3; ++t) {
      tasks.push_back(Go([t] {
        for (int i = 0; i < kRounds; ++i) {
          const auto delay = std::chrono::nanoseconds((i * 37 + t) % 20'000);
          Alarm alarm(delay);
          if (i % 3 == 0) Yield();
          if (i % 4 == 1) SleepFor(delay);
          if (i % 2 == 0) alarm.Reset(delay / 2);
          if (i % 5 == 0) {
            ASSERT_TRUE(alarm.channel().Receive().has_value());
            ASSERT_FALSE(alarm.Cancel());
          } else if (i % 5 == 1) {
            alarm.Cancel();
            ASSERT_EQ(alarm.channel().TryReceive().status, WaitStatus::kWouldBlock);
            ASSERT_FALSE(alarm.pending());
          }
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

TEST(Ticker, StressShortLives) {
  curg::Run({.workers = 3}, [] {
    for (int i = 0; i < kRounds; ++i) {
      Ticker ticker(std::chrono::nanoseconds(1 + i % 3'000));
      if (i % 4 == 0) ticker.ticks().Receive();
      if (i % 3 == 0) ticker.Stop();
      if (i % 5 == 0) ticker.Reset(1us);
    }
  });
}

// Many receivers: a tick is received by one of them, and none is lost for ever.
TEST(Ticker, ManyReceivers) {
  curg::Run({.workers = 2}, [] {
    Ticker ticker(100us);
    std::vector<JoinHandle<int>> receivers;
    for (int r = 0; r < 5; ++r) {
      receivers.push_back(Go([&] {
        int ticks = 0;
        for (; ticks < 10; ++ticks) ticker.ticks().Receive();
        return ticks;
      }));
    }
    for (auto& receiver : receivers) EXPECT_EQ(receiver.Join(), 10);
  });
}

}  // namespace
}  // namespace curg
