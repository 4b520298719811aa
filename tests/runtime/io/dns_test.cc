// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/dns.h"

#include <gtest/gtest.h>
#include <netdb.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "runtime/go.h"
#include "runtime/stats.h"
#include "tests/runtime/eventually.h"

namespace {

// Names that only this program's look-up knows. Every other one is the system's.
std::atomic<int> slow_calls{0};
std::atomic<bool> slow_answers{false};

// More than a task's stack holds.
__attribute__((noinline)) void UseMuchStack() {
  volatile char large[size_t{1} << 20];
  for (size_t i = 0; i < sizeof(large); i += 4096) large[i] = 1;
}

}  // namespace

// In place of the C library's: a name service that does not answer until told, without a network.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) noexcept(false) {
  const bool number = (hints->ai_flags & AI_NUMERICHOST) != 0;
  const std::string name = host;
  if (number && name != "127.0.0.1") return EAI_NONAME;
  if (name == "nowhere") return EAI_NONAME;
  if (name == "later") return EAI_AGAIN;
  if (name == "slow") {
    ++slow_calls;
    while (!slow_answers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (name == "deep") UseMuchStack();
  struct Both {
    addrinfo info;
    sockaddr_in address;
  };
  auto* const both = new Both{};
  both->address = {.sin_family = AF_INET,
                   .sin_port = htons(static_cast<uint16_t>(std::stoi(service))),
                   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                   .sin_zero = {}};
  both->info.ai_addr = reinterpret_cast<sockaddr*>(&both->address);
  both->info.ai_addrlen = sizeof(both->address);
  *found = &both->info;
  return 0;
}

extern "C" void freeaddrinfo(addrinfo* first) noexcept { ::operator delete(first); }

namespace curg {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

class ResolveTest : public testing::Test {
 protected:
  ResolveTest() {
    slow_calls = 0;
    slow_answers = false;
  }
};

TEST_F(ResolveTest, FindsAddresses) {
  const auto look_up = [] {
    for (const char* host : {"127.0.0.1", "some.host", "deep"}) {
      if (CurrentTaskId() == 0 && std::string(host) == "deep") continue;
      const auto found = Resolve(host, "80");
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->size(), 1u);
      EXPECT_EQ(found->front().ToString(), "127.0.0.1:80");
    }
  };
  curg::Run({.workers = 1}, look_up);
  look_up();  // on a plain thread
}

TEST_F(ResolveTest, SaysWhyNot) {
  curg::Run([] {
    EXPECT_EQ(Resolve("nowhere", "80").status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(Resolve("later", "80").status().code(), absl::StatusCode::kUnavailable);
  });
}

TEST_F(ResolveTest, OthersRunMeanwhile) {
  curg::Run({.workers = 1}, [] {
    auto asking = Go([] { return Resolve("slow", "81"); });
    while (slow_calls == 0) Yield();
    slow_answers = true;
    EXPECT_TRUE(asking.Join().ok());
  });
}

// The caller goes on; what has begun is left behind and counted until it ends, and what has not
// begun never does.
TEST_F(ResolveTest, LimitsEndTheWait) {
  auto runtime = Runtime::Create({.workers = 1, .blocking_max = 1}).value();
  runtime->Run([] {
    // On a busy machine it may not have begun by then.
    for (auto patience = 20ms; slow_calls == 0; patience *= 2) {
      EXPECT_EQ(Resolve("slow", "80", Deadline::After(patience)).status().code(),
                absl::StatusCode::kDeadlineExceeded);
    }
    EXPECT_EQ(ReadStats().tasks_blocking, 1u);
    EXPECT_EQ(Resolve("slow", "80", Deadline::After(20ms)).status().code(),
              absl::StatusCode::kDeadlineExceeded);
    std::stop_source stop;
    auto stopper = Go([&] {
      SleepFor(5ms);
      stop.request_stop();
    });
    EXPECT_EQ(Resolve("slow", "80", Deadline::After(100s), stop.get_token()).status().code(),
              absl::StatusCode::kCancelled);
    stopper.Join();
    EXPECT_EQ(slow_calls, 1);
    slow_answers = true;
    EXPECT_TRUE(Resolve("slow", "80").ok());
  });
  EXPECT_TRUE(Eventually([&] { return runtime->Stats().tasks_blocking == 0; }));
}

}  // namespace
}  // namespace curg
