// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/tcp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "runtime/go.h"
#include "tests/runtime/io/silent_port.h"
#include "tests/runtime/watchdog.h"

namespace curg {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

struct Connection {
  TcpStream client;
  TcpStream server;
};

Connection Connect() {
  TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
  TcpStream client = TcpStream::Connect(listener.local_address()).value();
  return {std::move(client), listener.Accept().value()};
}

std::string ReadAll(TcpStream& stream) {
  std::string all;
  char data[1000];
  while (const size_t n = stream.Read(data).value()) all.append(data, n);
  return all;
}

TEST(Tcp, EchoesAndSeesTheEnd) {
  curg::Run([] {
    auto [client, server] = Connect();
    auto echo = Go([&server = server] {
      char data[64];
      while (const size_t n = server.Read(data).value()) {
        ASSERT_TRUE(server.Write({data, n}).ok());
      }
      ASSERT_TRUE(server.ShutdownWrite().ok());
    });
    ASSERT_TRUE(client.Write("hello").ok());
    ASSERT_TRUE(client.ShutdownWrite().ok());
    EXPECT_EQ(ReadAll(client), "hello");
    echo.Join();
  });
}

// The case in which an edge-triggered reader that trusts a short read would sleep for ever: data
// and end come together.
TEST(Tcp, AnEndThatCameWithTheDataIsSeen) {
  curg::Run([] {
    for (int i = 0; i < 200; ++i) {
      auto [client, server] = Connect();
      auto reader = Go([&server = server] { return ReadAll(server); });
      if (i % 2 == 0) Yield();
      ASSERT_TRUE(client.Write("last words").ok());
      client.Close();
      ASSERT_EQ(reader.Join(), "last words");
    }
  });
}

TEST(Tcp, WritesMoreThanTheSocketHolds) {
  curg::Run([] {
    auto [client, server] = Connect();
    const std::string data(8 << 20, 'x');
    auto writer = Go([&, &client = client] {
      ASSERT_TRUE(client.Write(data).ok());
      client.Close();
    });
    EXPECT_EQ(ReadAll(server).size(), data.size());
    writer.Join();
  });
}

TEST(Tcp, DeadlinesAndStopsLeaveTheStreamUsable) {
  curg::Run([] {
    auto [client, server] = Connect();
    char data[16];
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(server.Read(data, Deadline::After(3ms)).status().code(),
                absl::StatusCode::kDeadlineExceeded);
    }
    std::stop_source source;
    auto stopper = Go([&] {
      SleepFor(3ms);
      source.request_stop();
    });
    EXPECT_EQ(server.Read(data, Deadline::Never(), source.get_token()).status().code(),
              absl::StatusCode::kCancelled);
    ASSERT_TRUE(client.Write("still here").ok());
    EXPECT_EQ(server.Read(data, Deadline::After(60s)).value(), 10u);

    // The writer, with a full socket.
    const std::string much(8 << 20, 'x');
    EXPECT_EQ(client.Write(much, Deadline::After(5ms)).code(), absl::StatusCode::kDeadlineExceeded);
    stopper.Join();
  });
}

TEST(Tcp, ShutdownFromAnotherTaskWakesTheReader) {
  curg::Run([] {
    auto [client, server] = Connect();
    auto reader = Go([&server = server] {
      char data[16];
      return server.Read(data).value();
    });
    SleepFor(2ms);
    server.Shutdown();
    EXPECT_EQ(reader.Join(), 0u);
  });
}

TEST(Tcp, AResetIsAnError) {
  curg::Run([] {
    auto [client, server] = Connect();
    client.Abort();
    char data[16];
    EXPECT_EQ(server.Read(data).status().code(), absl::StatusCode::kUnavailable);
  });
}

TEST(Tcp, WhatIsClosedIsAnError) {
  curg::Run([] {
    TcpListener listener;
    EXPECT_EQ(listener.Accept().status().code(), absl::StatusCode::kFailedPrecondition);
    TcpStream stream;
    char byte = 0;
    EXPECT_EQ(stream.Read({&byte, 1}).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(stream.Write("x").code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_FALSE(stream.ShutdownWrite().ok());
    stream.Shutdown();
    stream.Abort();
    stream.Close();
    EXPECT_EQ(stream.remote_address().family(), AF_UNSPEC);
    EXPECT_EQ(TcpStream::Adopt(-1).status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

TEST(TcpDeathTest, MisuseNamesTheCaller) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH((void)TcpStream::Connect(SocketAddress::Loopback(1)),
               "plain thread [0-9]+: uses I/O on no task");
  EXPECT_DEATH(curg::Run([] {
                 auto [client, server] = Connect();
                 auto read = [&client = client] {
                   char byte = 0;
                   (void)client.Read({&byte, 1});
                 };
                 auto first = Go(read);
                 SleepFor(std::chrono::milliseconds(10));
                 Go({.name = "second"}, read).Join();
               }),
               "\"second\": reads .or writes. a stream while another task does");
}

TEST(Tcp, ConnectingSaysWhyNot) {
  curg::Run([] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    const SocketAddress address = listener.local_address();
    EXPECT_EQ(TcpListener::Listen(address).status().code(), absl::StatusCode::kFailedPrecondition);
    const SilentPort nobody;
    EXPECT_EQ(TcpStream::Connect(nobody.address()).status().code(), absl::StatusCode::kUnavailable);
  });
}

TEST(Tcp, ServesLocalSockets) {
  curg::Run([] {
    ASSERT_EQ(chdir(testing::TempDir().c_str()), 0);  // its path may be too long for a local
                                                      // socket's
    const std::string path = "curg_tcp_test." + std::to_string(getpid());
    const SocketAddress address = SocketAddress::Parse("unix:" + path).value();
    TcpListener listener = TcpListener::Listen(address).value();
    EXPECT_EQ(listener.local_address().ToString(), "unix:" + path);
    TcpStream client = TcpStream::Connect(address).value();
    TcpStream server = listener.Accept().value();
    ASSERT_TRUE(client.Write("local").ok());
    client.Close();
    EXPECT_EQ(ReadAll(server), "local");
    unlink(path.c_str());
  });
}

TEST(Tcp, AdoptsASocketFromElsewhere) {
  curg::Run([] {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    TcpStream a = TcpStream::Adopt(fds[0]).value();
    TcpStream b = TcpStream::Adopt(fds[1]).value();
    auto reader = Go([&] { return ReadAll(b); });
    SleepFor(1ms);
    ASSERT_TRUE(a.Write("pair").ok());
    a.Close();
    EXPECT_EQ(reader.Join(), "pair");
  });
}

TEST(Tcp, AcceptSaysThatThereAreNoDescriptorsAndRecovers) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  curg::Run([&] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    TcpStream client = TcpStream::Connect(listener.local_address()).value();
    const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(listener.Accept().status().code(), absl::StatusCode::kResourceExhausted);
    }
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    TcpStream server = listener.Accept(Deadline::After(60s)).value();
    ASSERT_TRUE(client.Write("after all").ok());
    client.Close();
    EXPECT_EQ(ReadAll(server), "after all");
  });
}

// With one worker, a stream that always has data must not keep the others from theirs.
TEST(Tcp, ABusyStreamDoesNotStarveOthers) {
  internal::Watchdog watchdog;
  curg::Run({.workers = 1}, [] {
    auto [client, server] = Connect();
    auto [quiet_client, quiet_server] = Connect();
    std::atomic<bool> done{false};
    auto talker = Go([&done, &client = client, &server = server] {
      char data[64];
      while (!done) {  // never would block
        ASSERT_TRUE(client.Write("x").ok());
        ASSERT_EQ(server.Read(data).value(), 1u);
      }
    });
    auto quiet = Go([&quiet_server = quiet_server] {
      char data[64];
      return quiet_server.Read(data).value();
    });
    Yield();
    ASSERT_TRUE(quiet_client.Write("abc").ok());
    EXPECT_EQ(quiet.Join(), 3u);
    done = true;
    talker.Join();
  });
}

TEST(Tcp, ManyConnectionsAtOnce) {
  internal::Watchdog watchdog;
  curg::Run({.workers = 4}, [&] {
    constexpr int kConnections = 200;
    constexpr int kRounds = 50;
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    auto server = Go([&] {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < kConnections; ++i) {
        tasks.push_back(Go([stream = listener.Accept().value()]() mutable {
          char data[256];
          while (const size_t n = stream.Read(data).value())
            ASSERT_TRUE(stream.Write({data, n}).ok());
        }));
      }
      for (auto& task : tasks) task.Join();
    });
    std::vector<JoinHandle<void>> clients;
    for (int i = 0; i < kConnections; ++i) {
      clients.push_back(Go([&, i] {
        TcpStream stream = TcpStream::Connect(listener.local_address()).value();
        for (int round = 0; round < kRounds; ++round) {
          const std::string sent = std::to_string(i) + ":" + std::to_string(round);
          ASSERT_TRUE(stream.Write(sent).ok());
          std::string got;
          while (got.size() < sent.size()) {
            char data[64];
            got.append(data, stream.Read(data, Deadline::After(60s)).value());
          }
          ASSERT_EQ(got, sent);
          watchdog.Progress();
        }
      }));
    }
    for (auto& client : clients) client.Join();
    server.Join();
  });
}

// How many of all answers come between a request and its answer, at most, where one worker serves
// so many connections that always have something.
int LongestWait(int connections) {
  internal::Watchdog watchdog;
  const int requests = 40 * connections;
  int longest = 0;
  std::vector<int> clients;
  curg::Run({.workers = 1}, [&] {
    std::vector<JoinHandle<void>> servers;
    for (int i = 0; i < connections; ++i) {
      int pair[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
      clients.push_back(pair[0]);
      servers.push_back(Go([stream = TcpStream::Adopt(pair[1]).value()]() mutable {
        char data[16];
        while (const size_t n = stream.Read(data).value_or(0)) {
          if (!stream.Write({data, n}).ok()) return;
        }
      }));
    }
    std::thread client([&] {
      std::vector<pollfd> polls;
      std::vector<int> asked(clients.size(), 0);  // after how many answers
      for (const int fd : clients) {
        polls.push_back({.fd = fd, .events = POLLIN, .revents = 0});
        EXPECT_EQ(send(fd, "x", 1, MSG_NOSIGNAL), 1);
      }
      for (int answers = 0; answers < requests;) {
        ASSERT_GT(poll(polls.data(), polls.size(), /*timeout=*/-1), 0);
        for (size_t i = 0; i < clients.size(); ++i) {
          if (polls[i].revents == 0) continue;
          char data[16];
          ASSERT_EQ(recv(clients[i], data, sizeof(data), 0), 1);
          ++answers;
          longest = std::max(longest, answers - asked[i]);
          asked[i] = answers;
          EXPECT_EQ(send(clients[i], "x", 1, MSG_NOSIGNAL), 1);
        }
        watchdog.Progress();
      }
      for (const int fd : clients) close(fd);
    });
    for (auto& server : servers) server.Join();
    client.join();
  });
  return longest;
}

// More of them than a run queue holds: each gets its turn, the first come first. So everybody else
// is answered twice at most meanwhile: once for what was before, and once more as the client asks
// all whom it finds ready. Where those that were ready last go first, some wait for four to eight
// rounds.
TEST(Tcp, ManyBusyConnectionsAreServedAlike) {
  constexpr int kConnections = 1000;
  int longest = 4 * kConnections;
  // A server that the kernel does not run for a while may find more than its queues hold.
  for (int attempt = 0; attempt < 20 && longest > 3 * kConnections; ++attempt) {
    longest = std::min(longest, LongestWait(kConnections));
  }
  EXPECT_LE(longest, 3 * kConnections);
}

TEST(SocketAddress, ParsesAndPrints) {
  for (const char* text : {"127.0.0.1:80", "[::1]:8080", "unix:/tmp/x", "0.0.0.0:0"}) {
    EXPECT_EQ(SocketAddress::Parse(text).value().ToString(), text);
  }
  EXPECT_EQ(SocketAddress::Parse(":80").value().ToString(), "0.0.0.0:80");
  for (const char* text :
       {"", "localhost:80", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:x", "[::1:80", "unix:"}) {
    EXPECT_EQ(SocketAddress::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace curg
