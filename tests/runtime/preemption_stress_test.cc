// SPDX-License-Identifier: Apache-2.0
//
// Threads that are stopped anywhere: a storm of signals whose handler sleeps, so that the few
// instructions between which nobody else may come last as long as everything around them.
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/deadline.h"
#include "runtime/go.h"
#include "tests/runtime/bell.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kDuration = std::chrono::seconds(2);

std::vector<pid_t> WorkerThreads() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    if (name == "curg-worker") found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

void SleepInHandler(int) {
  static std::atomic<uint32_t> turn{0};
  const int saved_errno = errno;
  const timespec pause = {.tv_sec = 0, .tv_nsec = 1'000 + (turn.fetch_add(7'919) % 100) * 2'000};
  nanosleep(&pause, nullptr);
  errno = saved_errno;
}

// While it lives, the workers there are now are stopped, one after the other, for up to 0.2 ms.
class PreemptionStorm {
 public:
  PreemptionStorm() {
    struct sigaction action = {};
    action.sa_handler = &SleepInHandler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR2, &action, nullptr);
    thread_ = std::thread([this, workers = WorkerThreads()] { Run(workers); });
  }
  ~PreemptionStorm() {
    done_ = true;
    thread_.join();
  }

  // Whether it has stopped them often enough. A busy machine takes its time over that.
  bool HasRaged() const { return signals_ > 100; }

 private:
  void Run(const std::vector<pid_t>& workers) {
    std::minstd_rand random(17);
    while (!done_) {
      const pid_t worker = workers[random() % workers.size()];
      if (syscall(SYS_tgkill, getpid(), worker, SIGUSR2) == 0) ++signals_;
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
    }
  }

  std::atomic<bool> done_{false};
  std::atomic<int> signals_{0};
  std::thread thread_;
};

// A task that is woken while it is about to leave its stack goes on only when it has left it.
TEST(PreemptionStress, WokenWhileParking) {
  Watchdog watchdog;
  curg::Run({.workers = 2, .long_slice = std::chrono::nanoseconds(0)}, [&] {
    PreemptionStorm storm;
    const Clock::time_point end = Clock::now() + kDuration;
    Bell ping;
    Bell pong;
    std::atomic<bool> done{false};
    auto other = Go([&] {
      for (ping.Await(Deadline::Never()); !done; ping.Await(Deadline::Never())) pong.Ring();
      pong.Ring();
    });
    while (Clock::now() < end || !storm.HasRaged()) {
      ping.Ring();
      // On this worker, so that the other task runs on the other one.
      const Clock::time_point until = Clock::now() + std::chrono::microseconds(1);
      while (Clock::now() < until) {
      }
      pong.Await(Deadline::Never());
      watchdog.Progress();
    }
    done = true;
    ping.Ring();
    other.Join();
  });
}

// A task that is joined while it ends wakes the joiner. Who joins comes close behind those that
// end: when one is stopped there, it is the one that is joined.
TEST(PreemptionStress, JoinedWhileEnding) {
  Watchdog watchdog;
  auto runtime = Runtime::Create({.workers = 1, .long_slice = std::chrono::nanoseconds(0)}).value();
  PreemptionStorm storm;
  const Clock::time_point end = Clock::now() + kDuration;
  std::minstd_rand random(5);
  std::deque<JoinHandle<int>> tasks;
  while (Clock::now() < end || !storm.HasRaged()) {
    tasks.push_back(runtime->Go([] { return 1; }));
    for (const size_t behind = random() % 8; tasks.size() > behind; tasks.pop_front()) {
      EXPECT_EQ(tasks.front().Join(), 1);
    }
    watchdog.Progress();
  }
  for (auto& task : tasks) EXPECT_EQ(task.Join(), 1);
}

}  // namespace
}  // namespace curg::internal
