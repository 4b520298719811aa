// SPDX-License-Identifier: Apache-2.0
//
// Who looks at the poller when nobody waits in it: busy workers, a surplus one, or one that sysmon
// sends.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "runtime/go.h"
#include "runtime/io/tcp.h"
#include "tests/runtime/watchdog.h"

namespace curg {
namespace {

using std::chrono::steady_clock;
using std::chrono_literals::operator""ms;

// A task reads its one end, a plain thread writes to the other.
class Pair {
 public:
  Pair() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    reader_ = TcpStream::Adopt(fds[0]).value();
    outside_ = fds[1];
  }
  ~Pair() { close(outside_); }

  // From any thread.
  void WriteFromOutside() const { EXPECT_EQ(send(outside_, "x", 1, MSG_NOSIGNAL), 1); }
  void Read() {
    char data[4];
    EXPECT_EQ(reader_.Read(data).value_or(0), 1u);
  }

 private:
  TcpStream reader_;
  int outside_;
};

// No worker ever finds its queue empty.
TEST(Polling, WorkersThatAlwaysHaveTasksLook) {
  for (const int workers : {1, 2}) {
    internal::Watchdog watchdog;
    curg::Run({.workers = workers}, [&] {
      std::atomic<bool> done{false};
      std::vector<JoinHandle<void>> busy;
      for (int i = 0; i < 4 * workers; ++i) {
        busy.push_back(Go([&done] {
          while (!done) Yield();
        }));
      }
      Pair pair;
      for (int i = 0; i < 20; ++i) {
        std::thread writer([&pair] {
          std::this_thread::sleep_for(1ms);  // the reader waits by then
          pair.WriteFromOutside();
        });
        pair.Read();
        writer.join();
        watchdog.Progress();
      }
      done = true;
      for (auto& task : busy) task.Join();
    });
  }
}

// A worker whose tasks run for long looks after each of them, not after so many switches.
TEST(Polling, TaskByTaskIfTheyAreLong) {
  internal::Watchdog watchdog;
  curg::Run({.workers = 1}, [&] {
    Pair pair;
    std::atomic<bool> done{false};
    std::atomic<bool> waits{false};
    std::atomic<int> ran{0};
    std::atomic<int> written_at{0};
    const auto work = [&] {
      for (; !done; Yield()) {
        if (waits.exchange(false)) {
          written_at = ran.load();
          pair.WriteFromOutside();
        }
        const auto end = steady_clock::now() + std::chrono::microseconds(200);
        while (steady_clock::now() < end) {
        }
        ++ran;
      }
    };
    JoinHandle<void> busy[] = {Go(work), Go(work)};
    std::vector<int> between(21);
    for (int& each : between) {
      waits = true;
      pair.Read();
      each = ran - written_at;
      watchdog.Progress();
    }
    // At first it does not know yet. And when the kernel takes the CPU from the worker that looks,
    // a surplus one runs tasks meanwhile.
    std::nth_element(between.begin(), between.begin() + 10, between.end());
    EXPECT_LE(between[10], 8);
    done = true;
    for (auto& task : busy) task.Join();
  });
}

// Nor does any of them ever come to look.
TEST(Polling, ASurplusWorkerLooksWhileAllAreHeld) {
  internal::Watchdog watchdog;
  curg::Run({.workers = 2}, [&] {
    Pair pair;
    std::atomic<bool> read{false};
    std::atomic<int> held{0};
    auto reader = Go([&] {
      pair.Read();
      read = true;
    });
    SleepFor(1ms);
    const auto hold = [&] {
      if (++held == 2) pair.WriteFromOutside();
      while (!read) {
      }
    };
    auto other = Go(hold);
    hold();
    other.Join();
    reader.Join();
  });
}

// A clock that runs as slowly as a thread that sleeps a millisecond at a time: on a loaded machine
// it stands still when sysmon may do so, too.
class SleeperClock {
 public:
  SleeperClock()
      : thread_([this] {
          for (; !done_; ++ticks_) std::this_thread::sleep_for(1ms);
        }) {}
  ~SleeperClock() {
    done_ = true;
    thread_.join();
  }

  int now() const { return ticks_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> ticks_{0};
  std::thread thread_;  // last: it uses the others
};

// How long it takes until a byte is read, if the worker that waited in the poller has left it for a
// task that holds it, while the other one sleeps elsewhere.
int TicksWithoutPoller(const SleeperClock& clock, Pair& call, Pair& late) {
  std::atomic<bool> read{false};
  int ticks = 0;
  auto holder = Go([&] {
    call.Read();
    const int written = clock.now();
    late.WriteFromOutside();
    while (!read) {
    }
    ticks = clock.now() - written;
  });
  auto reader = Go([&] {
    late.Read();
    read = true;
  });
  std::thread caller([&call] {
    std::this_thread::sleep_for(3ms);  // both wait by then, and so does this task
    call.WriteFromOutside();
  });
  holder.Join();
  reader.Join();
  caller.join();
  return ticks;
}

// Sysmon looks for that every millisecond; if it did only every ten, one in four would take eight.
TEST(Polling, SomebodyIsSentWhenThePollerWasLeftForALongTask) {
  internal::Watchdog watchdog;
  const SleeperClock clock;
  curg::Run({.workers = 2}, [&] {
    Pair call;
    Pair late;
    constexpr int kMost = 5;
    int best = 100;
    // The kernel may be kinder to the clock than to sysmon: so the best of several rounds.
    for (int round = 0; round < 20 && best > kMost; ++round) {
      std::vector<int> ticks(41);
      for (int& each : ticks) each = TicksWithoutPoller(clock, call, late);
      std::nth_element(ticks.begin(), ticks.begin() + 30, ticks.end());
      best = std::min(best, ticks[30]);
      watchdog.Progress();
    }
    EXPECT_LE(best, kMost);
  });
}

}  // namespace
}  // namespace curg
