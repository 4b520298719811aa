// SPDX-License-Identifier: Apache-2.0
#include "examples/proxy/proxy.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "runtime/go.h"
#include "runtime/io/serve.h"
#include "runtime/sync/semaphore.h"
#include "tests/examples/server_process.h"
#include "tests/runtime/io/silent_port.h"
#include "tests/runtime/watchdog.h"

namespace curg::examples {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kConnections = 300;
constexpr int kAtATime = 60;
#else
constexpr int kConnections = 2000;
constexpr int kAtATime = 400;
#endif

// What connection `id` sends at `position`: no two places look alike.
char ByteAt(uint64_t id, uint64_t position) {
  const uint64_t word = (id * 0x10001 + position / 8 + 1) * 0x9E3779B97F4A7C15u;
  return static_cast<char>(word >> (position % 8 * 8));
}

void Echo(TcpStream stream) {
  char data[8000];
  while (true) {
    const auto got = stream.Read(data);
    if (!got.ok()) return;
    if (*got == 0) {
      (void)stream.ShutdownWrite();
      return;
    }
    if (!stream.Write({data, *got}).ok()) return;
  }
}

// An echo server, a proxy before it, and who connects to that.
class Pipeline {
 public:
  explicit Pipeline(ProxyOptions options = {})
      : upstream_(TcpListener::Listen(SocketAddress::Loopback(0)).value()),
        front_(TcpListener::Listen(SocketAddress::Loopback(0)).value()),
        proxy_(WithUpstream(options, upstream_.local_address())),
        echoing_(Go([this] { return Serve(upstream_, {}, &Echo, stop_.get_token()); })),
        proxying_(Go([this] {
          return Serve(
              front_, {.connections_max = 1000},
              [this](TcpStream client) { proxy_.Serve(std::move(client), abort_.get_token()); },
              stop_.get_token());
        })) {}

  ~Pipeline() {
    stop_.request_stop();
    EXPECT_TRUE(proxying_.Join().ok());
    EXPECT_TRUE(echoing_.Join().ok());
  }

  SocketAddress address() const { return front_.local_address(); }
  Proxy& proxy() { return proxy_; }
  std::stop_source& abort() { return abort_; }

 private:
  static ProxyOptions WithUpstream(ProxyOptions options, const SocketAddress& upstream) {
    options.upstream = upstream;
    return options;
  }

  std::stop_source stop_;
  std::stop_source abort_;
  TcpListener upstream_;
  TcpListener front_;
  Proxy proxy_;
  JoinHandle<absl::Status> echoing_;
  JoinHandle<absl::Status> proxying_;
};

enum class Manner { kPlain, kStalls, kResets };

// Sends `size` bytes in pieces, and checks that exactly they come back.
void RunClient(const SocketAddress& address, uint64_t id, Manner manner,
               std::atomic<int64_t>& returned) {
  std::minstd_rand random(static_cast<unsigned>(id));
  const uint64_t size = 1 + random() % 60'000;
  const uint64_t reset_at = manner == Manner::kResets ? random() % size : size;
  TcpStream stream = TcpStream::Connect(address).value();
  auto writer = Go([&] {
    std::minstd_rand sizes(static_cast<unsigned>(id + 1));
    for (uint64_t sent = 0; sent < reset_at;) {
      std::string piece(std::min<uint64_t>(1 + sizes() % 9000, reset_at - sent), '\0');
      for (size_t i = 0; i < piece.size(); ++i) piece[i] = ByteAt(id, sent + i);
      if (!stream.Write(piece).ok()) return;
      sent += piece.size();
      if (manner == Manner::kStalls && sizes() % 4 == 0) SleepFor(3ms);
    }
    if (manner == Manner::kResets) return;
    EXPECT_TRUE(stream.ShutdownWrite().ok());
  });
  uint64_t got = 0;
  char data[5000];
  if (manner == Manner::kStalls) SleepFor(5ms);
  while (got < reset_at || manner != Manner::kResets) {
    const auto n = stream.Read(data, Deadline::After(100s));
    ASSERT_TRUE(n.ok()) << n.status();
    if (*n == 0) break;
    for (size_t i = 0; i < *n; ++i)
      ASSERT_EQ(data[i], ByteAt(id, got + i)) << id << " at " << got + i;
    got += *n;
    if (manner == Manner::kResets && got > reset_at / 2) break;
  }
  writer.Join();
  if (manner == Manner::kResets) return stream.Abort();
  ASSERT_EQ(got, size) << id;
  returned.fetch_add(static_cast<int64_t>(got));
}

Manner MannerOf(uint64_t id) {
  if (id % 10 == 3) return Manner::kResets;
  return id % 10 == 7 ? Manner::kStalls : Manner::kPlain;
}

void RunClients(Pipeline& pipeline, int count, uint64_t first_id, internal::Watchdog& watchdog) {
  Semaphore places(kAtATime);
  std::atomic<int64_t> returned{0};
  std::vector<JoinHandle<void>> clients;
  for (int i = 0; i < count; ++i) {
    places.Acquire();
    clients.push_back(Go([&, id = first_id + static_cast<uint64_t>(i)] {
      RunClient(pipeline.address(), id, MannerOf(id), returned);
      places.Release();
      watchdog.Progress();
    }));
  }
  for (auto& client : clients) client.Join();
  EXPECT_GT(returned.load(), 0);
}

TEST(Proxy, LosesAndDoublesNoByteOfThousandsOfConnections) {
  internal::Watchdog watchdog(std::chrono::seconds(60));
  curg::Run({.workers = 3}, [&] {
    Pipeline pipeline;
    RunClients(pipeline, kConnections, 0, watchdog);
    EXPECT_EQ(pipeline.proxy().counts().connections.load(), kConnections);
  });
}

int64_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atoll(line.c_str() + 6);
  }
  return 0;
}

// Six rounds of 300 connections, or, as it depends on the machine how many there are at the same
// time, twelve or twenty-four; with CURG_SOAK_SECONDS as many as that takes. The last third against
// the second one.
TEST(Proxy, ItsMemoryStaysFlat) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps memory of its own";
#endif
  internal::Watchdog watchdog(std::chrono::seconds(60));
  curg::Run({.workers = 2}, [&] {
    const char* const seconds = std::getenv("CURG_SOAK_SECONDS");
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 0);
    Pipeline pipeline;
    std::vector<int64_t> kib;
    int64_t before = 0;
    int64_t after = 0;
    for (size_t rounds = 6; rounds <= 24 && after >= before + before / 10; rounds *= 2) {
      while (kib.size() < rounds || std::chrono::steady_clock::now() < end) {
        RunClients(pipeline, 300, kib.size() * 300, watchdog);
        kib.push_back(ResidentKib());
      }
      const size_t third = kib.size() / 3;
      before = *std::max_element(kib.begin() + third, kib.begin() + 2 * third);
      after = *std::max_element(kib.begin() + 2 * third, kib.end());
    }
    const ProxyCounts& counts = pipeline.proxy().counts();
    std::printf(
        "%lld connections, %lld bytes back; resident KiB after the first round %lld, at most %lld, "
        "then %lld\n",
        static_cast<long long>(counts.connections), static_cast<long long>(counts.to_client),
        static_cast<long long>(kib[0]), static_cast<long long>(before),
        static_cast<long long>(after));
    EXPECT_LT(after, before + before / 10) << testing::PrintToString(kib);
  });
}

// Says something eight times, for more than twice the time-out in all. False: it was cut before.
bool OutlivesItsTimeout(TcpStream& stream, std::chrono::milliseconds idle_timeout) {
  char data[16];
  for (int i = 0; i < 8; ++i) {
    if (!stream.Write("tick").ok() || stream.Read(data).value_or(0) != 4) return false;
    SleepFor(idle_timeout / 3);
  }
  return true;
}

// On a machine that stands still for a while, a connection may be idle that is not meant to be.
TEST(Proxy, ClosesConnectionsThatAreIdleButNotLongDownloads) {
  curg::Run([] {
    bool outlived = false;
    for (auto timeout = 150ms; timeout < 5s && !outlived; timeout *= 2) {
      Pipeline pipeline({.idle_timeout = timeout});
      TcpStream stream = TcpStream::Connect(pipeline.address()).value();
      outlived = OutlivesItsTimeout(stream, timeout);
      if (!outlived) continue;
      char data[16];
      const auto got = stream.Read(data, Deadline::After(60s));
      EXPECT_EQ(got.status().code(), absl::StatusCode::kUnavailable) << got.status();
    }
    EXPECT_TRUE(outlived);
  });
}

TEST(Proxy, ABrokenUpstreamIsNoEndOfData) {
  curg::Run([] {
    const SilentPort nobody;
    Proxy proxy({.upstream = nobody.address()});
    TcpListener front = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    TcpStream client = TcpStream::Connect(front.local_address()).value();
    proxy.Serve(front.Accept().value(), {});
    char data[16];
    EXPECT_FALSE(client.Read(data).ok());
    EXPECT_EQ(proxy.counts().failed.load(), 1);
  });
}

TEST(Proxy, EndsWellOnSigterm) {
  curg::Run([] {
    TcpListener upstream = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    std::stop_source stop;
    auto echoing = Go([&] { return Serve(upstream, {}, &Echo, stop.get_token()); });
    ServerProcess proxy("PROXY", {"--listen=127.0.0.1:0", "--grace=100s", "--connect_timeout=100s",
                                  "--upstream=" + upstream.local_address().ToString()});
    TcpStream open = TcpStream::Connect(proxy.address()).value();
    ASSERT_TRUE(open.Write("before, ").ok());
    char data[64];
    ASSERT_EQ(open.Read(data).value(), 8u);
    proxy.Signal(SIGTERM);
    EXPECT_EQ(proxy.ReadLine(), "SIGTERM: waiting for connections to end");
    ASSERT_TRUE(open.Write("after").ok());
    ASSERT_TRUE(open.ShutdownWrite().ok());
    ASSERT_EQ(open.Read(data).value(), 5u);
    EXPECT_EQ(open.Read(data).value(), 0u);
    EXPECT_EQ(proxy.ReadLine(), "1 connections, 0 of them failed; 13 bytes there, 13 back");
    EXPECT_EQ(proxy.Wait(), 0);
    stop.request_stop();
    EXPECT_TRUE(echoing.Join().ok());
  });
}

TEST(Proxy, CutsWhatDoesNotEndInTime) {
  curg::Run([] {
    TcpListener upstream = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    ServerProcess proxy("PROXY", {"--listen=127.0.0.1:0", "--grace=50ms",
                                  "--upstream=" + upstream.local_address().ToString()});
    TcpStream open = TcpStream::Connect(proxy.address()).value();
    TcpStream at_upstream = upstream.Accept().value();
    proxy.Signal(SIGTERM);
    EXPECT_EQ(proxy.Wait(), 0);
    char data[16];
    EXPECT_FALSE(open.Read(data).ok());
  });
}

}  // namespace
}  // namespace curg::examples
