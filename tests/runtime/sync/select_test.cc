// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/select.h"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "tests/runtime/sync/sync_probe.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

class SelectTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, SelectTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

void Ignore() {}

TEST_P(SelectTest, TakesTheOneThatIsReady) {
  Run([] {
    Channel<int> empty(1);
    Channel<int> full(1);
    full.Send(7);
    int got = 0;
    EXPECT_EQ(Select(OnReceive(empty, [](std::optional<int>) { FAIL(); }),
                     OnReceive(full, [&](std::optional<int> value) { got = *value; })),
              1u);
    EXPECT_EQ(got, 7);
    EXPECT_EQ(Select(OnSend(full, 8, Ignore), OnReceive(empty, [](std::optional<int>) { FAIL(); })),
              0u);
    EXPECT_EQ(full.Receive(), 8);
  });
}

TEST_P(SelectTest, DefaultRunsWhenNothingIsReady) {
  Run([] {
    Channel<int> ch;
    bool ran = false;
    EXPECT_EQ(Select(OnReceive(ch, [](std::optional<int>) { FAIL(); }),
                     OnSend(ch, 1, [] { FAIL(); }), OnDefault([&] { ran = true; })),
              2u);
    EXPECT_TRUE(ran);
  });
}

TEST_P(SelectTest, WaitsForAPartnerOnAnyChannel) {
  Run([] {
    Channel<int> a;
    Channel<std::string> b;
    Channel<int> c;
    auto select = [&] {
      std::string got;
      Select(OnReceive(a, [&](std::optional<int> value) { got = std::to_string(*value); }),
             OnReceive(b, [&](std::optional<std::string> value) { got = *value; }),
             OnSend(c, 3, [&] { got = "sent"; }));
      return got;
    };
    JoinHandle<std::string> first = Go(select);
    AwaitWaiters(b);
    b.Send("word");
    EXPECT_EQ(first.Join(), "word");
    JoinHandle<std::string> second = Go(select);
    AwaitWaiters(c);
    EXPECT_EQ(c.Receive(), 3);
    EXPECT_EQ(second.Join(), "sent");
    // No node is left behind.
    EXPECT_EQ(a.TrySend(1), WaitStatus::kWouldBlock);
    EXPECT_EQ(b.TrySend("x"), WaitStatus::kWouldBlock);
    EXPECT_FALSE(c.TryReceive());
  });
}

TEST_P(SelectTest, TwoSelectsMeet) {
  Run([] {
    Channel<int> a;
    Channel<int> b;
    constexpr int kRounds = 500;
    JoinHandle<int> one = Go([&] {
      int sum = 0;
      for (int i = 0; i < kRounds; ++i) {
        Select(OnSend(a, 1, [&] { ++sum; }),
               OnReceive(b, [&](std::optional<int> value) { sum += *value; }));
      }
      return sum;
    });
    int sum = 0;
    for (int i = 0; i < kRounds; ++i) {
      Select(OnSend(b, 1, [&] { ++sum; }),
             OnReceive(a, [&](std::optional<int> value) { sum += *value; }));
    }
    EXPECT_EQ(sum, kRounds);
    EXPECT_EQ(one.Join(), kRounds);
  });
}

TEST_P(SelectTest, OneChannelInSeveralCases) {
  Run([] {
    Channel<int> ch;
    JoinHandle<size_t> select = Go([&] {
      return Select(OnReceive(ch, [](std::optional<int>) {}), OnSend(ch, 5, Ignore),
                    OnReceive(ch, [](std::optional<int>) {}));
    });
    AwaitWaiters(ch, 3);
    EXPECT_EQ(ch.Receive(), 5);
    EXPECT_EQ(select.Join(), 1u);
    EXPECT_EQ(internal::SyncProbe::Waiters(ch), 0u);
  });
}

// Among n ready cases each is chosen with probability 1/n, wherever it stands: with 6000 draws a
// fair choice is further than 300 from 2000 once in 10^15.
TEST_P(SelectTest, ChoosesFairlyAmongTheReady) {
  Run([] {
    Channel<int> a(1);
    Channel<int> never;
    Channel<int> b(1);
    Channel<int> c(1);
    std::array<int, 4> chosen = {};
    auto ignore = [](std::optional<int>) {};
    for (int i = 0; i < 6000; ++i) {
      for (Channel<int>* ch : {&a, &b, &c}) (void)ch->TrySend(i);
      ++chosen[Select(OnReceive(a, ignore), OnReceive(never, ignore), OnReceive(b, ignore),
                      OnReceive(c, ignore))];
    }
    EXPECT_EQ(chosen[1], 0);
    for (int i : {0, 2, 3}) EXPECT_NEAR(chosen[i], 2000, 300) << i;
  });
}

TEST_P(SelectTest, TimeoutEndsTheWait) {
  Run([] {
    Channel<int> ch;
    auto fail = [](std::optional<int>) { FAIL(); };
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(Select(OnReceive(ch, fail), OnTimeout(1h, [] { FAIL(); }), OnTimeout(10ms, Ignore)),
              2u);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 10ms);
    EXPECT_EQ(Select(OnTimeout(1ms, Ignore)), 0u);
    EXPECT_EQ(internal::SyncProbe::Waiters(ch), 0u);
  });
}

TEST_P(SelectTest, AStopRequestEndsTheWait) {
  Run([] {
    Channel<int> ch;
    std::stop_source stop;
    const std::stop_token token = stop.get_token();
    auto select = [&] {
      return Select(OnReceive(ch, [](std::optional<int>) {}), OnStop(token, Ignore));
    };
    JoinHandle<size_t> waiting = Go(select);
    AwaitWaiters(ch);
    stop.request_stop();
    EXPECT_EQ(waiting.Join(), 1u);
    EXPECT_EQ(select(), 1u);
  });
}

TEST_P(SelectTest, CloseMakesReceivesReadyAndSendsThrow) {
  Run([] {
    Channel<int> ch;
    JoinHandle<bool> receiver = Go([&] {
      bool closed = false;
      Select(OnReceive(ch, [&](std::optional<int> value) { closed = !value; }));
      return closed;
    });
    AwaitWaiters(ch);
    ch.Close();
    EXPECT_TRUE(receiver.Join());
    EXPECT_THROW(Select(OnSend(ch, 1, Ignore)), ChannelClosed);

    Channel<int> other;
    JoinHandle<void> sender =
        Go([&] { EXPECT_THROW(Select(OnSend(other, 1, Ignore)), ChannelClosed); });
    AwaitWaiters(other);
    other.Close();
    sender.Join();
  });
}

TEST_P(SelectTest, MovesFromTheElementOnlyIfChosen) {
  Run([] {
    Channel<std::unique_ptr<int>> ch(1);
    auto value = std::make_unique<int>(1);
    Channel<int> ready(1);
    ready.Send(0);
    auto full = std::make_unique<int>(0);
    ch.Send(std::move(full));
    Select(OnSend(ch, std::move(value), Ignore), OnReceive(ready, [](std::optional<int>) {}));
    ASSERT_NE(value, nullptr);
    (void)ch.Receive();
    Select(OnSend(ch, std::move(value), Ignore));
    EXPECT_EQ(value, nullptr);
    EXPECT_EQ(**ch.Receive(), 1);
  });
}

TEST_P(SelectTest, ANullChannelSwitchesACaseOff) {
  Run([] {
    Channel<int>* none = nullptr;
    EXPECT_EQ(Select(OnReceive(none, [](std::optional<int>) { FAIL(); }),
                     OnSend(none, 1, [] { FAIL(); }), OnDefault(Ignore)),
              2u);
  });
}

TEST_P(SelectTest, WhatTheFunctionThrowsIsThrown) {
  Run([] {
    Channel<int> ch(1);
    EXPECT_THROW(Select(OnSend(ch, 1, [] { throw std::string("mine"); })), std::string);
    EXPECT_EQ(ch.Receive(), 1);  // it was sent all the same
  });
}

TEST_P(SelectTest, APlainThreadSelects) {
  Channel<int> a;
  Channel<int> b;
  int sum = 0;
  std::thread thread([&] {
    auto add = [&](std::optional<int> value) { sum += value.value_or(0); };
    for (int i = 0; i < 200; ++i) Select(OnReceive(a, add), OnReceive(b, add));
    EXPECT_EQ(Select(OnReceive(a, add), OnTimeout(2ms, Ignore)), 1u);
  });
  Run([&] {
    JoinHandle<void> task = Go([&] {
      for (int i = 0; i < 100; ++i) a.Send(1);
    });
    for (int i = 0; i < 100; ++i) b.Send(2);
    task.Join();
  });
  thread.join();
  EXPECT_EQ(sum, 300);
}

}  // namespace
}  // namespace curg
