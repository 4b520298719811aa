// SPDX-License-Identifier: Apache-2.0
//
// What happens when memory, or threads, are refused: clear errors, no spin, nothing lost, and all
// goes on when they are back. Each in a process of its own, with a limit to its address space.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/io/tcp.h"
#include "runtime/sync/channel.h"

// Sanitizers need address space without end.
#if !defined(CURG_TSAN) && !defined(CURG_ASAN)

namespace {
std::atomic<int> g_threads_asked_for{0};
}

// In place of the C library's, which it calls.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* arg) noexcept {
  static const auto create =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  ++g_threads_asked_for;
  return create(thread, attributes, start, arg);
}

namespace curg {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono_literals::operator""s;

// In a child there is nobody to collect failures.
#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
      _exit(1);                                                            \
    }                                                                      \
  } while (false)

// While one is alive there is no more address space than `spare` bytes: no mappings, so no threads.
class NoAddressSpace {
 public:
  explicit NoAddressSpace(size_t spare = size_t{256} << 10) {
    getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    size_t pages;
    statm >> pages;
    const rlimit tight = {.rlim_cur = pages * static_cast<size_t>(getpagesize()) + spare,
                          .rlim_max = before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
  }
  ~NoAddressSpace() { REQUIRE(setrlimit(RLIMIT_AS, &before_) == 0); }
  NoAddressSpace(const NoAddressSpace&) = delete;
  NoAddressSpace& operator=(const NoAddressSpace&) = delete;

 private:
  rlimit before_;
};

// The same, and the heap has no more blocks of 1 KiB, but small ones for the texts of errors.
class NoMemory {
 public:
  NoMemory() {
    for (void*& block : small_) block = std::malloc(200);
    while (void* block = std::malloc(kSize)) {
      *static_cast<void**>(block) = blocks_;
      blocks_ = block;
    }
    // Every second one: they must not grow together.
    for (size_t i = 0; i < std::size(small_); i += 2) std::free(std::exchange(small_[i], nullptr));
  }
  ~NoMemory() {
    for (void* block : small_) std::free(block);
    while (blocks_ != nullptr) std::free(std::exchange(blocks_, *static_cast<void**>(blocks_)));
  }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;

 private:
  static constexpr size_t kSize = 1024;

  NoAddressSpace none_{0};
  void* small_[256];
  void* blocks_ = nullptr;
};

std::chrono::nanoseconds CpuTime() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

template <typename Fn>
void InChild(Fn fn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // Only arenas that grow with the address space are ever full.
  EXPECT_EXIT((mallopt(M_ARENA_MAX, 1), fn(), _exit(0)), testing::ExitedWithCode(0), "");
}

TEST(ExhaustedMemoryDeathTest, SpawningIsRefusedAndRecovers) {
  InChild([] {
    curg::Run({.workers = 1}, [] {
      Channel<int> leave;
      std::atomic<int> ran{0};
      const auto wait = [&] {
        leave.Receive();
        ++ran;
      };
      std::vector<JoinHandle<void>> tasks;
      tasks.reserve(100'000);
      for (int round = 0; round < 3; ++round) {
        absl::Status status;
        {
          NoAddressSpace none;
          while (status.ok()) {
            REQUIRE(tasks.size() < tasks.capacity());
            absl::StatusOr<JoinHandle<void>> task = TryGo({.name = "waits"}, wait);
            status = task.status();
            if (task.ok()) tasks.push_back(*std::move(task));
          }
          REQUIRE(status.code() == absl::StatusCode::kResourceExhausted);
          for (int i = 0; i < 100; ++i) REQUIRE(!TryGo({}, wait).ok());
          // Go throws it; and those that are there go on.
          bool thrown = false;
          try {
            Go(wait).Detach();
          } catch (const std::exception&) {
            thrown = true;
          }
          REQUIRE(thrown);
          Yield();
        }
        for (int i = 0; i < 100; ++i) tasks.push_back(Go(wait));  // it is back
      }
      leave.Close();
      for (auto& task : tasks) task.Join();
      REQUIRE(ran == static_cast<int>(tasks.size()));
    });
  });
}

// Names that the record cannot hold, stacks of unusual sizes.
TEST(ExhaustedMemoryDeathTest, ARefusedTaskLeavesNothingBehind) {
  InChild([] {
    curg::Run({.workers = 1}, [] {
      const std::string name(4000, 'n');
      const uint64_t alive = ReadStats().tasks_parked + ReadStats().tasks_running;
      {
        NoMemory none;
        for (int i = 0; i < 1000; ++i) {
          REQUIRE(TryGo({.name = name}, [] {}).status().code() ==
                  absl::StatusCode::kResourceExhausted);
          REQUIRE(TryGo({.stack_size = size_t{512} << 20}, [] {}).status().code() ==
                  absl::StatusCode::kResourceExhausted);
        }
      }
      REQUIRE(ReadStats().tasks_parked + ReadStats().tasks_running == alive);
      Go({.name = name}, [] {}).Join();
      Go({.stack_size = size_t{512} << 20}, [] {}).Join();
    });
  });
}

TEST(ExhaustedMemoryDeathTest, ChannelsAreRefused) {
  InChild([] {
    curg::Run({.workers = 1}, [] {
      for (int i = 0; i < 3; ++i) {
        bool refused = false;
        try {
          NoAddressSpace none;
          Channel<int> channel(size_t{1} << 28);
        } catch (const std::bad_alloc&) {
          refused = true;
        }
        REQUIRE(refused);
      }
      Channel<int> channel(size_t{1} << 28);
      channel.Send(1);
      REQUIRE(channel.Receive() == 1);
      // What a task of the program's own is refused goes to whoever joins it.
      bool refused = false;
      try {
        NoAddressSpace none;
        Go([] { std::vector<char>(size_t{1} << 28); }).Join();
      } catch (const std::bad_alloc&) {
        refused = true;
      }
      REQUIRE(refused);
    });
  });
}

int ConnectTo(const SocketAddress& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(connect(fd, address.get(), address.size()) == 0);
  REQUIRE(send(fd, "x", 1, MSG_NOSIGNAL) == 1);
  return fd;
}

// The connections that find no memory wait, and none is lost.
TEST(ExhaustedMemoryDeathTest, AcceptIsRefusedAndRecovers) {
  InChild([] {
    curg::Run({.workers = 1}, [] {
      constexpr size_t kConnections = 300;
      TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
      std::vector<TcpStream> accepted;
      accepted.reserve(kConnections);
      for (size_t i = 0; i < kConnections; ++i) ConnectTo(listener.local_address());
      {
        NoMemory none;
        absl::StatusOr<TcpStream> stream = listener.Accept();
        for (; stream.ok(); stream = listener.Accept()) accepted.push_back(*std::move(stream));
        REQUIRE(stream.status().code() == absl::StatusCode::kResourceExhausted);
        for (int i = 0; i < 10; ++i) REQUIRE(!listener.Accept().ok());
        REQUIRE(accepted.size() < kConnections / 2);
      }
      while (accepted.size() < kConnections) {
        accepted.push_back(listener.Accept(Deadline::After(60s)).value());
      }
      for (TcpStream& stream : accepted) {
        char data[4];
        REQUIRE(stream.Read(data, Deadline::After(60s)).value() == 1);
      }
    });
  });
}

// Without threads a call of Blocking keeps its worker, and nobody asks for one all the time.
TEST(ExhaustedMemoryDeathTest, NobodySpinsForThreads) {
  InChild([] {
    auto runtime = Runtime::Create({.workers = 1}).value();
    runtime->Run([] {});
    std::atomic<bool> called{false};
    std::atomic<bool> ran{false};
    NoAddressSpace none;
    const auto cpu = CpuTime();
    const int asked_before = g_threads_asked_for;
    REQUIRE(asked_before > 0);
    const auto start = steady_clock::now();
    auto call = runtime->Go([&] {
      Blocking([&] {
        called = true;
        std::this_thread::sleep_for(milliseconds(500));
      });
    });
    while (!called) std::this_thread::sleep_for(milliseconds(1));
    auto waits = runtime->Go([&] { ran = true; });
    call.Join();
    waits.Join();
    REQUIRE(CpuTime() - cpu < milliseconds(150));
    // Twice at each look of sysmon's, one in 10 ms; and at a few more.
    const auto looks = (steady_clock::now() - start) / milliseconds(10);
    const int asked = g_threads_asked_for - asked_before;
    REQUIRE(asked < 3 * looks);
    REQUIRE(ran);
  });
}

// A worker in place of a held one comes when threads do again, however long they were refused.
TEST(ExhaustedMemoryDeathTest, SurplusWorkersComeLater) {
  InChild([] {
    auto runtime = Runtime::Create({.workers = 1}).value();
    std::atomic<bool> held{false};
    std::atomic<bool> ran{false};
    auto hog = runtime->Go([&] {
      held = true;
      while (!ran) {
      }
    });
    while (!held) std::this_thread::sleep_for(milliseconds(1));
    JoinHandle<void> waits;
    {
      NoAddressSpace none;
      waits = runtime->Go([&] { ran = true; });
      // More attempts than there may be surplus workers. (Unless there was one already, where the
      // kernel did not run the hog at first.)
      std::this_thread::sleep_for(milliseconds(1000));
    }
    waits.Join();
    hog.Join();
  });
}

TEST(ExhaustedMemoryDeathTest, ARuntimeIsRefusedAndRecovers) {
  InChild([] {
    Runtime::Create({.workers = 1}).value().reset();
    for (int i = 0; i < 3; ++i) {
      NoAddressSpace none;
      const auto refused = Runtime::Create({.workers = 200});
      REQUIRE(refused.status().code() == absl::StatusCode::kResourceExhausted);
    }
    REQUIRE(Runtime::Create({.workers = 20}).value()->Run([] { return 5; }) == 5);
  });
}

}  // namespace
}  // namespace curg

#endif
