// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/use_task.h"

#include <gtest/gtest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "tests/runtime/watchdog.h"

namespace curg {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
namespace asio = boost::asio;

// Two connected sockets of this runtime.
std::pair<tcp::socket, tcp::socket> Connection() {
  tcp::acceptor acceptor(IoExecutor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  tcp::socket client(IoExecutor());
  auto connecting = Go([&] { client.async_connect(acceptor.local_endpoint(), UseTask()); });
  tcp::socket server = acceptor.async_accept(UseTask());
  connecting.Join();
  return {std::move(client), std::move(server)};
}

TEST(UseTask, ReadsAndWritesASocket) {
  curg::Run([] {
    auto [client, server] = Connection();
    auto echo = Go([&server = server] {
      std::array<char, 64> data;
      const size_t n = server.async_read_some(asio::buffer(data), UseTask());
      asio::async_write(server, asio::buffer(data, n), UseTask());
    });
    EXPECT_EQ(client.async_write_some(asio::buffer("hello", 5), UseTask()), 5u);
    std::string answer(5, '\0');
    EXPECT_EQ(asio::async_read(client, asio::buffer(answer), UseTask()), 5u);
    EXPECT_EQ(answer, "hello");
    echo.Join();
  });
}

TEST(UseTask, ThrowsOrSetsTheError) {
  curg::Run([] {
    std::array<char, 8> data;
    {
      auto [client, server] = Connection();
      server.close();
      try {
        client.async_read_some(asio::buffer(data), UseTask());
        ADD_FAILURE();
      } catch (const boost::system::system_error& error) {
        EXPECT_EQ(error.code(), asio::error::eof);
      }
    }
    // Another connection: after the end of one, Asio waits for news of it that may have come
    // already.
    auto [client, server] = Connection();
    server.close();
    error_code error;
    EXPECT_EQ(client.async_read_some(asio::buffer(data), UseTask(error)), 0u);
    EXPECT_EQ(error, asio::error::eof);
  });
}

TEST(UseTask, ReturnsWhatTheSignatureSays) {
  curg::Run([] {
    UseTask token;
    const auto nothing = [](auto handler) { asio::post(IoExecutor(), std::move(handler)); };
    static_assert(std::is_void_v<decltype(asio::async_initiate<UseTask, void()>(nothing, token))>);
    asio::async_initiate<UseTask, void()>(nothing, token);

    const auto two = [](auto handler) {
      asio::post(IoExecutor(),
                 [handler = std::move(handler)]() mutable { handler(error_code(), 1, "two"); });
    };
    const std::tuple<int, std::string> both =
        asio::async_initiate<UseTask, void(error_code, int, std::string)>(two, token);
    EXPECT_EQ(both, std::tuple(1, "two"));

    const auto refused = [](auto handler) {
      asio::post(IoExecutor(), [handler = std::move(handler)]() mutable {
        handler(std::make_exception_ptr(std::runtime_error("refused")), std::make_unique<int>(7));
      });
    };
    using Signature = void(std::exception_ptr, std::unique_ptr<int>);
    EXPECT_THROW((asio::async_initiate<UseTask, Signature>(refused, token)), std::runtime_error);

    const auto dropped = [](auto) {};
    EXPECT_THROW((asio::async_initiate<UseTask, void(error_code)>(dropped, token)),
                 boost::system::system_error);
  });
}

TEST(UseTask, WaitsForATimerOfAsios) {
  curg::Run([] {
    asio::steady_timer timer(IoExecutor(), 20ms);
    const auto start = std::chrono::steady_clock::now();
    timer.async_wait(UseTask());
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  });
}

TEST(UseTask, ADeadlineCancelsAndLeavesTheSocketUsable) {
  curg::Run([] {
    auto [client, server] = Connection();
    std::string data(5, '\0');
    error_code error;
    for (int i = 0; i < 3; ++i) {
      asio::async_read(client, asio::buffer(data), UseTask(error).Until(Deadline::After(5ms)));
      EXPECT_EQ(error, asio::error::timed_out);
    }
    asio::async_write(server, asio::buffer("hello", 5), UseTask());
    asio::async_read(client, asio::buffer(data), UseTask(error).Until(Deadline::After(60s)));
    EXPECT_FALSE(error);
    EXPECT_EQ(data, "hello");
  });
}

TEST(UseTask, AStopRequestCancels) {
  curg::Run([] {
    auto [client, server] = Connection();
    std::stop_source source;
    auto reader = Go([&client = client, stop = source.get_token()] {
      std::array<char, 8> data;
      error_code error;
      client.async_read_some(asio::buffer(data), UseTask(error).Until(stop));
      return error;
    });
    SleepFor(5ms);
    source.request_stop();
    EXPECT_EQ(reader.Join(), asio::error::operation_aborted);

    // One that was requested before, too.
    error_code error;
    std::array<char, 8> data;
    client.async_read_some(asio::buffer(data), UseTask(error).Until(source.get_token()));
    EXPECT_EQ(error, asio::error::operation_aborted);
  });
}

TEST(UseTask, CancellingAnotherTasksObjectWakesIt) {
  // With a seed there is never a second worker: who has begun waits when another one runs.
  curg::Run({.workers = 1, .schedule_seed = 1}, [] {
    asio::steady_timer timer(IoExecutor(), 3600s);
    bool begun = false;
    auto waiter = Go([&] {
      begun = true;
      error_code error;
      timer.async_wait(UseTask(error));
      return error;
    });
    while (!begun) Yield();
    timer.cancel();
    EXPECT_EQ(waiter.Join(), asio::error::operation_aborted);
  });
}

TEST(UseTask, StepsOfAComposedOperationRunOnTheTaskWithItsLabels) {
  curg::Run([] {
    ScopedLabels labels({{"who", "reader"}});
    const uint64_t task = CurrentTaskId();
    auto [client, server] = Connection();
    auto writer = Go({.tag = Labels()}, [&server = server] {
      for (int i = 0; i < 4; ++i) {
        SleepFor(2ms);
        asio::async_write(server, asio::buffer("0123456789", 10), UseTask());
      }
    });
    int steps = 0;
    std::string data(40, '\0');
    // The completion condition is called after each part.
    asio::async_read(
        client, asio::buffer(data),
        [&](const error_code&, size_t) -> size_t {
          ++steps;
          EXPECT_EQ(CurrentTaskId(), task);
          EXPECT_EQ(CurrentLabels().Get("who"), "reader");
          return 100;
        },
        UseTask());
    EXPECT_GE(steps, 2);
    writer.Join();
  });
}

TEST(UseTask, WaitsForSignals) {
  curg::Run([] {
    asio::signal_set signals(IoExecutor(), SIGUSR1);
    auto waiter = Go([&] { return signals.async_wait(UseTask()); });
    SleepFor(2ms);
    ASSERT_EQ(raise(SIGUSR1), 0);
    EXPECT_EQ(waiter.Join(), SIGUSR1);
  });
}

TEST(UseTask, APlainThreadWaitsToo) {
  auto runtime = Runtime::Create().value();
  asio::steady_timer timer(IoExecutor(*runtime), 5ms);
  timer.async_wait(UseTask());
  timer.expires_after(3600s);
  error_code error;
  timer.async_wait(UseTask(error).Until(Deadline::After(5ms)));
  EXPECT_EQ(error, asio::error::timed_out);
}

TEST(UseTask, PlainHandlersRunWhileTasksComputeAndWhileAllSleep) {
  curg::Run({.workers = 1}, [] {
    std::atomic<int> calls{0};
    std::function<void()> again = [&] {
      if (++calls < 100) asio::post(IoExecutor(), again);
    };
    asio::post(IoExecutor(), again);
    SleepFor(10ms);
    while (calls < 100) Yield();
    calls = 0;
    asio::post(IoExecutor(), again);
    while (calls < 100) Yield();  // always runnable: the worker looks in passing
  });
}

TEST(UseTask, ManyTasksAndConnectionsAtOnce) {
  internal::Watchdog watchdog;
  curg::Run({.workers = 4}, [&] {
    constexpr int kConnections = 50;
    constexpr int kRounds = 40;
    tcp::acceptor acceptor(IoExecutor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    auto server = Go([&] {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < kConnections; ++i) {
        tasks.push_back(Go([socket = acceptor.async_accept(UseTask())]() mutable {
          std::array<char, 256> data;
          error_code error;
          while (const size_t n = socket.async_read_some(asio::buffer(data), UseTask(error))) {
            asio::async_write(socket, asio::buffer(data, n), UseTask());
          }
        }));
      }
      for (auto& task : tasks) task.Join();
    });
    std::vector<JoinHandle<void>> clients;
    for (int i = 0; i < kConnections; ++i) {
      clients.push_back(Go([&, i] {
        tcp::socket socket(IoExecutor());
        socket.async_connect(acceptor.local_endpoint(), UseTask());
        for (int round = 0; round < kRounds; ++round) {
          const std::string sent = std::to_string(i) + ":" + std::to_string(round);
          asio::async_write(socket, asio::buffer(sent), UseTask());
          std::string got(sent.size(), '\0');
          asio::async_read(socket, asio::buffer(got), UseTask().Until(Deadline::After(60s)));
          ASSERT_EQ(got, sent);
          watchdog.Progress();
        }
      }));
    }
    for (auto& client : clients) client.Join();
    server.Join();
  });
}

// Asio is in use, but nothing is under way in it.
TEST(UseTaskDeathTest, ADeadlockIsSeenWhereAsioIsInUse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(curg::Run({.workers = 2, .deadlock = DeadlockAction::kFatal},
                        [] {
                          asio::steady_timer timer(IoExecutor(), 5ms);
                          timer.async_wait(UseTask());
                          Channel<int>().Receive();
                        }),
              testing::ExitedWithCode(2), "all tasks are asleep \\(1\\)");
}

TEST(UseTask, WhatIsUnderWayInAsioIsNoDeadlock) {
  curg::Run({.workers = 2, .deadlock = DeadlockAction::kFatal}, [] {
    Channel<int> numbers(1);
    asio::steady_timer timer(IoExecutor(), 200ms);
    timer.async_wait([&](error_code) { (void)numbers.TrySend(7); });  // a plain handler
    EXPECT_EQ(numbers.Receive(), 7);
  });
}

TEST(UseTask, VirtualTimePassesWhenNothingIsUnderWayInAsio) {
  curg::Run({.virtual_time = true}, [] {
    const auto begin = Now();
    asio::steady_timer timer(IoExecutor(), 20ms);  // of the real time
    timer.async_wait(UseTask());
    EXPECT_LT(Now() - begin, 1s);
    SleepFor(std::chrono::hours(3));
    EXPECT_EQ(Now() - begin, std::chrono::hours(3));
  });
}

TEST(UseTask, ARuntimeEndsWithOperationsUnderWay) {
  for (int i = 0; i < 5; ++i) {
    curg::Run([] {
      for (int k = 0; k < 3; ++k) {
        Go([] {
          asio::steady_timer timer(IoExecutor(), 3600s);
          timer.async_wait(UseTask());
        }).Detach();
      }
      SleepFor(2ms);
    });
  }
}

}  // namespace
}  // namespace curg
