// SPDX-License-Identifier: Apache-2.0
//
// What happens when the kernel watches no more sockets (fs.epoll.max_user_watches, or its memory):
// clear errors, and no connection is lost. The refusal is injected: the limit is the whole user's.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <span>
#include <stop_token>
#include <string_view>

#include "runtime/go.h"
#include "runtime/io/tcp.h"
#include "tests/runtime/io/serve_in_want.h"

namespace {

std::atomic<int> g_refusal{0};  // what adding to an epoll instance fails with; 0: nothing

}  // namespace

// In place of the C library's, for the whole program.
extern "C" int epoll_ctl(int epoll, int op, int fd, epoll_event* event) noexcept {
  using Call = int (*)(int, int, int, epoll_event*);
  static const Call next = reinterpret_cast<Call>(dlsym(RTLD_NEXT, "epoll_ctl"));
  const int refusal = op == EPOLL_CTL_ADD ? g_refusal.load() : 0;
  if (refusal == 0) return next(epoll, op, fd, event);
  errno = refusal;
  return -1;
}

namespace curg {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

std::string_view Read(TcpStream& stream, std::span<char> into) {
  return {into.data(), stream.Read(into, Deadline::After(60s)).value_or(0)};
}

TEST(WatchLimit, AcceptSaysSoAndKeepsTheConnection) {
  for (const int error : {ENOSPC, ENOMEM}) {
    curg::Run([error] {
      TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
      TcpStream first = TcpStream::Connect(listener.local_address()).value();
      TcpStream second = TcpStream::Connect(listener.local_address()).value();
      ASSERT_TRUE(first.Write("first").ok());
      ASSERT_TRUE(second.Write("second").ok());
      g_refusal = error;
      for (int i = 0; i < 3; ++i) {
        const absl::Status refused = listener.Accept().status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
        EXPECT_NE(refused.message().find("max_user_watches"), refused.message().npos);
      }
      g_refusal = 0;
      char data[10];
      TcpStream one = listener.Accept(Deadline::After(60s)).value();
      TcpStream two = listener.Accept(Deadline::After(60s)).value();
      EXPECT_EQ(Read(one, data), "first");
      EXPECT_EQ(Read(two, data), "second");
      EXPECT_FALSE(listener.Accept(Deadline::After(1ms)).ok());
    });
  }
}

TEST(WatchLimit, AClosedListenerClosesTheConnectionThatItKept) {
  curg::Run([] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    TcpStream client = TcpStream::Connect(listener.local_address()).value();
    g_refusal = ENOSPC;
    EXPECT_FALSE(listener.Accept().ok());
    g_refusal = 0;
    listener.Close();
    char data[10];
    EXPECT_EQ(client.Read(data, Deadline::After(60s)).value(), 0u);
  });
}

TEST(WatchLimit, ServeTriesAgain) {
  curg::Run([] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    TcpStream client = TcpStream::Connect(listener.local_address()).value();
    std::stop_source stop;
    std::atomic<int> troubles{0};
    g_refusal = ENOSPC;
    auto serving = ServeInWant(listener, troubles, stop.get_token());
    while (troubles < 2) SleepFor(1ms);
    g_refusal = 0;
    char data[10];
    EXPECT_EQ(Read(client, data), "after all");
    stop.request_stop();
    EXPECT_TRUE(serving.Join().ok());
  });
}

TEST(WatchLimit, ConnectAndListenSaySo) {
  curg::Run([] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    g_refusal = ENOSPC;
    EXPECT_EQ(TcpStream::Connect(listener.local_address()).status().code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(TcpListener::Listen(SocketAddress::Loopback(0)).status().code(),
              absl::StatusCode::kResourceExhausted);
    g_refusal = 0;
    EXPECT_TRUE(TcpStream::Connect(listener.local_address()).ok());
  });
}

}  // namespace
}  // namespace curg
