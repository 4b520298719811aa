// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/channel.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
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

// Counts its live instances and its moves; can be neither copied nor assigned.
struct Counted {
  explicit Counted(int value) : value(value) { ++alive; }
  Counted(Counted&& other) noexcept : value(std::exchange(other.value, -1)) {
    ++alive;
    ++moves;
  }
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --alive; }

  int value;
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> moves{0};
};

// Everything once with one worker and once with several.
class ChannelTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, ChannelTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(ChannelTest, UnbufferedHandsEachValueToItsReceiver) {
  Run([] {
    Channel<int> ch;
    JoinHandle<void> sender = Go([&] {
      for (int i = 0; i < 1000; ++i) ch.Send(i);
      ch.Close();
    });
    int expected = 0;
    for (int value : ch) EXPECT_EQ(value, expected++);
    EXPECT_EQ(expected, 1000);
    sender.Join();
  });
}

TEST_P(ChannelTest, UnbufferedSendWaitsForItsReceiver) {
  Run([] {
    Channel<int> ch;
    bool received = false;
    JoinHandle<bool> sender = Go([&] {
      ch.Send(1);
      return received;
    });
    AwaitWaiters(ch);
    EXPECT_FALSE(sender.done());
    received = true;
    EXPECT_EQ(ch.Receive(), 1);
    EXPECT_TRUE(sender.Join());
  });
}

TEST_P(ChannelTest, BufferedKeepsOrderAroundTheRing) {
  Run([] {
    Channel<int> ch(3);
    int sent = 0;
    int received = 0;
    for (int round = 0; round < 10; ++round) {
      while (ch.TrySend(int{sent}) == WaitStatus::kOk) ++sent;
      EXPECT_EQ(ch.size(), 3u);
      EXPECT_EQ(ch.Receive(), received++);
      EXPECT_EQ(ch.Receive(), received++);
    }
  });
}

TEST_P(ChannelTest, ASenderThatWaitsForRoomKeepsItsPlaceInTheOrder) {
  Run([] {
    Channel<int> ch(2);
    ch.Send(0);
    ch.Send(1);
    JoinHandle<void> sender = Go([&] { ch.Send(2); });
    AwaitWaiters(ch);
    EXPECT_EQ(ch.Receive(), 0);
    ch.Close();  // the sender's value is in already
    EXPECT_EQ(ch.Receive(), 1);
    EXPECT_EQ(ch.Receive(), 2);
    EXPECT_EQ(ch.Receive(), std::nullopt);
    sender.Join();
  });
}

TEST_P(ChannelTest, WaitersAreServedFirstComeFirstServed) {
  Run([] {
    Channel<int> ch;
    std::vector<JoinHandle<std::optional<int>>> receivers;
    for (int i = 0; i < 5; ++i) {
      receivers.push_back(Go([&] { return ch.Receive(); }));
      AwaitWaiters(ch, receivers.size());
    }
    for (int i = 0; i < 5; ++i) ch.Send(i);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(receivers[i].Join(), i);
  });
}

TEST_P(ChannelTest, CloseWakesReceiversWithNothing) {
  Run([] {
    Channel<std::string> ch;
    std::vector<JoinHandle<bool>> receivers;
    for (int i = 0; i < 3; ++i) {
      receivers.push_back(Go([&] { return ch.Receive().has_value(); }));
      AwaitWaiters(ch, receivers.size());
    }
    EXPECT_TRUE(ch.Close());
    for (JoinHandle<bool>& receiver : receivers) EXPECT_FALSE(receiver.Join());
    EXPECT_FALSE(ch.Close());
    EXPECT_TRUE(ch.closed());
  });
}

TEST_P(ChannelTest, CloseLeavesTheirValuesToSendersThatWait) {
  Run([] {
    Channel<std::unique_ptr<int>> ch;
    JoinHandle<int> sender = Go([&] {
      auto value = std::make_unique<int>(7);
      EXPECT_THROW(ch.Send(std::move(value)), ChannelClosed);
      return *value;
    });
    AwaitWaiters(ch);
    ch.Close();
    EXPECT_EQ(sender.Join(), 7);
  });
}

TEST_P(ChannelTest, SendOnAClosedChannelNamesTheTask) {
  Run([] {
    Channel<int> ch(1);
    ch.Close();
    JoinHandle<std::string> sender = Go({.name = "late"}, [&]() -> std::string {
      try {
        ch.Send(1);
      } catch (const std::logic_error& error) {
        return error.what();
      }
      return "";
    });
    const std::string id = std::to_string(sender.id());
    EXPECT_EQ(sender.Join(), "curg: task " + id + " \"late\": sends on a closed channel");
    EXPECT_EQ(ch.TrySend(1), WaitStatus::kClosed);
    EXPECT_EQ(ch.SendUntil(1, Deadline::Never()), WaitStatus::kClosed);
  });
}

TEST_P(ChannelTest, TryFormsSayWhyNot) {
  Run([] {
    Channel<std::unique_ptr<int>> ch(1);
    EXPECT_EQ(ch.TryReceive().status, WaitStatus::kWouldBlock);
    auto one = std::make_unique<int>(1);
    auto two = std::make_unique<int>(2);
    EXPECT_EQ(ch.TrySend(std::move(one)), WaitStatus::kOk);
    EXPECT_EQ(one, nullptr);
    EXPECT_EQ(ch.TrySend(std::move(two)), WaitStatus::kWouldBlock);
    ASSERT_NE(two, nullptr);
    ch.Close();
    EXPECT_EQ(ch.TrySend(std::move(two)), WaitStatus::kClosed);
    ASSERT_NE(two, nullptr);
    Received<std::unique_ptr<int>> received = ch.TryReceive();
    ASSERT_TRUE(received);
    EXPECT_EQ(**received, 1);
    EXPECT_EQ(ch.TryReceive().status, WaitStatus::kClosed);
  });
}

TEST_P(ChannelTest, TrySendFindsAReceiverThatWaits) {
  Run([] {
    Channel<int> ch;
    EXPECT_EQ(ch.TrySend(1), WaitStatus::kWouldBlock);
    JoinHandle<std::optional<int>> receiver = Go([&] { return ch.Receive(); });
    AwaitWaiters(ch);
    EXPECT_EQ(ch.TrySend(2), WaitStatus::kOk);
    EXPECT_EQ(receiver.Join(), 2);
  });
}

TEST_P(ChannelTest, AHandOffMovesOnceAndTheRingTwice) {
  Counted::moves = 0;
  Run([] {
    Channel<Counted> ch;
    JoinHandle<int> receiver = Go([&] { return ch.Receive()->value; });
    AwaitWaiters(ch);
    ch.Send(Counted(5));
    EXPECT_EQ(receiver.Join(), 5);
    EXPECT_EQ(Counted::moves, 1);

    Channel<Counted> ring(1);
    ring.Send(Counted(6));
    EXPECT_EQ(ring.Receive()->value, 6);
    EXPECT_EQ(Counted::moves, 3);
  });
  EXPECT_EQ(Counted::alive, 0);
}

TEST_P(ChannelTest, DestroysWhatIsLeft) {
  Run([] {
    Channel<Counted> ch(4);
    for (int i = 0; i < 3; ++i) ch.Send(Counted(i));
    (void)ch.Receive();
    ch.Send(Counted(3));
    ch.Send(Counted(4));
    EXPECT_EQ(Counted::alive, 4);
  });
  EXPECT_EQ(Counted::alive, 0);
}

TEST_P(ChannelTest, ReceiveUntilGivesUpAndTheChannelGoesOn) {
  Run([] {
    Channel<int> ch;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(ch.ReceiveUntil(Deadline::After(20ms)).status, WaitStatus::kTimeout);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
    EXPECT_EQ(ch.TrySend(1), WaitStatus::kWouldBlock);  // no ghost stands in the queue
    JoinHandle<void> sender = Go([&] { ch.Send(2); });
    EXPECT_EQ(*ch.ReceiveUntil(Deadline::After(1min)), 2);
    sender.Join();
  });
}

TEST_P(ChannelTest, SendUntilGivesUpAndKeepsTheValue) {
  Run([] {
    Channel<std::unique_ptr<int>> ch;
    auto value = std::make_unique<int>(3);
    EXPECT_EQ(ch.SendUntil(std::move(value), Deadline::After(5ms)), WaitStatus::kTimeout);
    ASSERT_NE(value, nullptr);
    EXPECT_EQ(ch.TryReceive().status, WaitStatus::kWouldBlock);
  });
}

// The forms that may give up take copies, too.
TEST_P(ChannelTest, SendsCopiesOfWhatIsKept) {
  Run([] {
    Channel<std::string> ch(2);
    const std::string word = "kept";
    std::stop_source stop;
    EXPECT_EQ(ch.SendUntil(word, Deadline::After(1min)), WaitStatus::kOk);
    EXPECT_EQ(ch.Send(word, stop.get_token()), WaitStatus::kOk);
    EXPECT_EQ(ch.SendUntil(word, Deadline::After(2ms)), WaitStatus::kTimeout);
    EXPECT_EQ(word, "kept");
    EXPECT_EQ(ch.Receive(), word);
    EXPECT_EQ(ch.Receive(), word);
  });
}

TEST_P(ChannelTest, ADeadlineThatHasPassedStillTakesWhatIsThere) {
  Run([] {
    Channel<int> ch(1);
    ch.Send(1);
    EXPECT_EQ(*ch.ReceiveUntil(Deadline::After(-1s)), 1);
    EXPECT_EQ(ch.ReceiveUntil(Deadline::After(-1s)).status, WaitStatus::kTimeout);
  });
}

TEST_P(ChannelTest, AStopRequestCancels) {
  Run([] {
    Channel<int> ch;
    std::stop_source stop;
    JoinHandle<WaitStatus> receiver = Go([&] { return ch.Receive(stop.get_token()).status; });
    AwaitWaiters(ch);
    stop.request_stop();
    EXPECT_EQ(receiver.Join(), WaitStatus::kCancelled);
    EXPECT_EQ(ch.Receive(stop.get_token()).status, WaitStatus::kCancelled);  // at once
    EXPECT_EQ(ch.Send(1, stop.get_token()), WaitStatus::kCancelled);
    EXPECT_EQ(ch.TrySend(1), WaitStatus::kWouldBlock);
  });
}

TEST_P(ChannelTest, PlainThreadsAndTasksTalk) {
  Channel<int> to_tasks;
  Channel<int> to_thread(200);  // the thread listens only once it has sent everything
  std::thread thread([&] {
    for (int i = 0; i < 200; ++i) to_tasks.Send(i);
    to_tasks.Close();
    int sum = 0;
    for (int value : to_thread) sum += value;
    EXPECT_EQ(sum, 199 * 200);
    Channel<int> quiet;
    EXPECT_EQ(quiet.ReceiveUntil(Deadline::After(5ms)).status, WaitStatus::kTimeout);
  });
  Run([&] {
    for (int value : to_tasks) to_thread.Send(2 * value);
    to_thread.Close();
  });
  thread.join();
}

TEST_P(ChannelTest, TheLastReceiverMayDestroyIt) {
  Run([] {
    for (int i = 0; i < 2000; ++i) {
      auto ch = std::make_unique<Channel<int>>(i % 2);
      JoinHandle<void> sender = Go([ch = ch.get(), i] { ch->Send(i); });
      EXPECT_EQ(ch->Receive(), i);
      ch.reset();
      sender.Join();
    }
  });
}

TEST(ChannelDeathTest, DestroyedUnderAReceiver) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           auto ch = std::make_unique<Channel<int>>();
                           JoinHandle<std::optional<int>> receiver =
                               Go([&] { return ch->Receive(); });
                           AwaitWaiters(*ch);
                           ch.reset();
                         }),
               "task 1 \"main\": destroys a Channel on which somebody waits");
}

TEST(Channel, RefusesAnAbsurdCapacity) {
  EXPECT_THROW(Channel<int>(size_t{1} << 40), std::length_error);
}

}  // namespace
}  // namespace curg
