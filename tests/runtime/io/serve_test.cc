// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/serve.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/sync/semaphore.h"
#include "tests/runtime/io/serve_in_want.h"

namespace curg {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

TcpListener Listener() { return TcpListener::Listen(SocketAddress::Loopback(0)).value(); }

std::string Ask(const SocketAddress& address) {
  auto stream = TcpStream::Connect(address).value();
  char data[100];
  const auto got = stream.Read(data, Deadline::After(60s));
  return got.ok() ? std::string(data, *got) : got.status().ToString();
}

TEST(Serve, LabelsOfTheLoopDoNotLeakUnlessAsked) {
  curg::Run([] {
    for (const bool inherit : {false, true}) {
      TcpListener listener = Listener();
      std::stop_source stop;
      auto serving = Go([&] {
        ScopedLabels labels({{"who", "loop"}});
        ServeOptions options;
        if (inherit) options.task.tag = std::nullopt;
        return Serve(
            listener, options,
            [](TcpStream stream) {
              EXPECT_TRUE(
                  stream.Write(std::string(CurrentLabels().Get("who").value_or("nobody"))).ok());
            },
            stop.get_token());
      });
      EXPECT_EQ(Ask(listener.local_address()), inherit ? "loop" : "nobody");
      stop.request_stop();
      EXPECT_TRUE(serving.Join().ok());
    }
  });
}

TEST(Serve, NoMoreConnectionsThanAsked) {
  curg::Run([] {
    TcpListener listener = Listener();
    std::stop_source stop;
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    auto serving = Go([&] {
      ServeOptions options;
      options.connections_max = 3;
      return Serve(
          listener, options,
          [&](TcpStream stream) {
            const int now = ++inside;
            for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
            }
            SleepFor(1ms);
            EXPECT_TRUE(stream.Write("x").ok());
            --inside;
          },
          stop.get_token());
    });
    std::vector<JoinHandle<std::string>> clients;
    for (int i = 0; i < 30; ++i)
      clients.push_back(Go([&] { return Ask(listener.local_address()); }));
    for (auto& client : clients) EXPECT_EQ(client.Join(), "x");
    EXPECT_LE(most.load(), 3);
    stop.request_stop();
    EXPECT_TRUE(serving.Join().ok());
  });
}

// Out of file descriptors it neither spins nor ends, says so, and goes on when there are some
// again.
TEST(Serve, SurvivesTheWantOfFileDescriptors) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  curg::Run([&] {
    TcpListener listener = Listener();
    std::stop_source stop;
    std::atomic<int> troubles{0};
    TcpStream waiting = TcpStream::Connect(listener.local_address()).value();
    const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const auto start = std::chrono::steady_clock::now();
    auto serving = ServeInWant(listener, troubles, stop.get_token());
    while (troubles < 5) SleepFor(1ms);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 75ms);  // after 0, 5, 15, 35, 75 ms
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    char data[100];
    EXPECT_EQ(waiting.Read(data, Deadline::After(60s)).value(), 9u);
    EXPECT_EQ(Ask(listener.local_address()), "after all");
    stop.request_stop();
    EXPECT_TRUE(serving.Join().ok());
  });
}

// A connection whose task is refused is kept, and served when there is a stack again.
TEST(Serve, SurvivesTheWantOfStacks) {
  curg::Run({.workers = 2, .stacks_max = 4}, [] {
    TcpListener listener = Listener();
    std::stop_source stop;
    std::atomic<int> troubles{0};
    auto serving = ServeInWant(listener, troubles, stop.get_token());
    Semaphore leave(0);
    std::vector<JoinHandle<void>> holders;  // this task, the loop, and two more
    for (int i = 0; i < 2; ++i) holders.push_back(Go([&] { leave.Acquire(); }));
    TcpStream waiting = TcpStream::Connect(listener.local_address()).value();
    while (troubles < 2) SleepFor(1ms);
    leave.Release(2);
    for (auto& holder : holders) holder.Join();
    char data[100];
    EXPECT_EQ(waiting.Read(data, Deadline::After(60s)).value(), 9u);
    stop.request_stop();
    EXPECT_TRUE(serving.Join().ok());
  });
}

TEST(Serve, AnExceptionEndsItsConnectionOnly) {
  curg::Run([] {
    TcpListener listener = Listener();
    std::stop_source stop;
    std::atomic<int> troubles{0};
    std::atomic<int> calls{0};
    auto serving = Go([&] {
      ServeOptions options;
      options.on_trouble = [&](const absl::Status& status) {
        EXPECT_EQ(status.message(), "a connection's handler threw: no");
        ++troubles;
      };
      return Serve(
          listener, options,
          [&](TcpStream stream) {
            if (calls++ == 0) throw std::runtime_error("no");
            EXPECT_TRUE(stream.Write("yes").ok());
          },
          stop.get_token());
    });
    EXPECT_EQ(Ask(listener.local_address()), "");
    EXPECT_EQ(Ask(listener.local_address()), "yes");
    // It is told after the connection has closed.
    while (troubles == 0) SleepFor(1ms);
    EXPECT_EQ(troubles.load(), 1);
    stop.request_stop();
    EXPECT_TRUE(serving.Join().ok());
  });
}

// A task that waits for I/O is no deadlock, although nothing in the process can wake it.
TEST(Serve, WaitingForIoIsNoDeadlock) {
  curg::Run({.workers = 1, .deadlock = DeadlockAction::kFatal}, [] {
    TcpListener listener = Listener();
    std::thread outsider([address = listener.local_address()] {
      std::this_thread::sleep_for(200ms);
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      EXPECT_EQ(connect(fd, address.get(), address.size()), 0);
      close(fd);
    });
    EXPECT_TRUE(listener.Accept().ok());
    outsider.join();
  });
}

}  // namespace
}  // namespace curg
