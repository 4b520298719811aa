// SPDX-License-Identifier: Apache-2.0
//
// Task profiles of many parked tasks, ten frames deep; peers/go_task_profile does the same. Prints
// one line of JSON a number; task_profile.py shows them.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "export/task_pprof.h"
#include "export/task_text.h"
#include "profiler/task_profiler.h"
#include "runtime/blocking.h"
#include "runtime/go.h"
#include "runtime/spawn_stack.h"
#include "runtime/sync/channel.h"
#include "runtime/task.h"

namespace {

using curg::Channel;

std::atomic<int64_t> g_ready{0};
int g_tasks = 100'000;
int g_rounds = 3;

// Ten frames with the task's own two, each a function of its own.
#define CURG_FRAME(name, callee)                     \
  [[gnu::noinline]] void name(Channel<int>& never) { \
    callee(never);                                   \
    asm volatile("");                                \
  }
[[gnu::noinline]] void Frame1(Channel<int>& never) {
  ++g_ready;
  never.Receive();
  asm volatile("");
}
CURG_FRAME(Frame2, Frame1)
CURG_FRAME(Frame3, Frame2)
CURG_FRAME(Frame4, Frame3)
CURG_FRAME(Frame5, Frame4)
CURG_FRAME(Frame6, Frame5)
CURG_FRAME(Frame7, Frame6)

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void Show(const std::string& name, double value, const char* unit) {
  std::printf("{\"name\":\"%s\",\"value\":%g,\"unit\":\"%s\"}\n", name.c_str(), value, unit);
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// For how long in all the calling thread could have run, and the kernel gave the CPU to others.
// Nanoseconds.
[[gnu::noinline]] int64_t WaitedForCpu() {
  thread_local const int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  char text[96] = {};
  if (pread(file, text, sizeof(text) - 1, 0) <= 0) return 0;
  return std::strtoll(std::strchr(text, ' '), nullptr, 10);
}

// Runs a task that looks at the clock all the time, for the longest time between two looks: as it
// was, and less what the kernel kept the task's thread waiting for a CPU.
class Ticker {
 public:
  struct Stalls {
    double longest_ms;
    double ours_ms;
  };

  Ticker() : task_(curg::Go({.name = "ticker"}, [this] { Run(); })) {}
  Stalls End() {
    stop_ = true;
    task_.Join();
    return {static_cast<double>(longest_) / 1e6, static_cast<double>(ours_) / 1e6};
  }
  void Reset() { longest_ = ours_ = 0; }

 private:
  static constexpr int64_t kLong = 20'000;  // is looked into
  static constexpr int64_t kFresh = 500'000;

  void Run() {
    int64_t last = Now();
    int64_t looked = 0;
    int64_t waited = 0;
    pid_t tid = 0;
    while (!stop_) {
      const int64_t now = Now();
      const int64_t gap = now - last;
      last = now;
      if (gap > longest_) longest_ = gap;
      if (gap > kLong || now - looked > kFresh) {
        const int64_t waits = WaitedForCpu();
        const int64_t kernels = gettid() == tid ? waits - waited : 0;  // on another thread: ours
        if (gap > kLong && gap - kernels > ours_) ours_ = gap - kernels;
        tid = gettid();
        waited = waits;
        looked = last = Now();
      }
      curg::Yield();
    }
  }
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> longest_{0};
  std::atomic<int64_t> ours_{0};
  curg::JoinHandle<void> task_;
};

// Returns the median time, nanoseconds.
double Measure(const std::string& name, int rounds, const std::function<void()>& run) {
  std::vector<double> times;
  std::vector<double> stalls;
  std::vector<double> ours;
  for (int i = 0; i < rounds; ++i) {
    Ticker ticker;
    curg::SleepFor(std::chrono::milliseconds(20));
    ticker.Reset();
    const int64_t start = Now();
    run();
    times.push_back(static_cast<double>(Now() - start));
    const Ticker::Stalls stall = ticker.End();
    stalls.push_back(stall.longest_ms);
    ours.push_back(stall.ours_ms);
  }
  Show(name, Median(times) / g_tasks, "ns/task");
  Show(name + " stall", Median(stalls), "ms");
  Show(name + " own stall", Median(ours), "ms");
  return Median(times);
}

bool Discard(std::string_view text) {
  asm volatile("" : : "r"(text.data()) : "memory");
  return true;
}

[[gnu::noinline]] double SpawnNs(int depth) {
  if (depth > 0) {
    const double ns = SpawnNs(depth - 1);
    asm volatile("");
    return ns;
  }
  constexpr int kSpawns = 200'000;
  std::vector<double> rounds;
  for (int round = 0; round < 5; ++round) {
    const int64_t start = Now();
    for (int i = 0; i < kSpawns; ++i) {
      curg::Go([] {}).Detach();
      if (i % 64 == 63) curg::Yield();
    }
    rounds.push_back(static_cast<double>(Now() - start) / kSpawns);
  }
  return Median(rounds);
}

void MeasureSpawns() {
  SpawnNs(8);
  const double off = SpawnNs(8);
  curg::KeepSpawnStacks(true);
  SpawnNs(8);
  const double on = SpawnNs(8);
  curg::KeepSpawnStacks(false);
  Show("spawn", off, "ns");
  Show("spawn with stack kept", on, "ns");
  Show("spawn stack", on - off, "ns");
}

int Run() {
  using curg::internal::Task;
  Show("bytes",
       sizeof(Task::id) + sizeof(Task::spawner_id) + sizeof(Task::spawn_pc) +
           sizeof(Task::spawn_stack) + sizeof(Task::wait_reason) + sizeof(Task::wait_object) +
           sizeof(Task::since) + sizeof(Task::roll),
       "");
  MeasureSpawns();
  Channel<int> never;
  for (int i = 0; i < g_tasks; ++i) {
    curg::Go([&never] { Frame7(never); }).Detach();
    if (i % 64 == 0) curg::Yield();
  }
  while (g_ready < g_tasks) curg::SleepFor(std::chrono::milliseconds(1));
  curg::SleepFor(std::chrono::milliseconds(100));
  double frames = 0;
  const double collect_ns = Measure("collect", g_rounds, [&] {
    const curg::TaskProfile profile = curg::CollectTaskProfile({.each_task = false});
    frames = static_cast<double>(profile.stacks[profile.groups[0].stack].size());
    if (profile.total < g_tasks) std::abort();
  });
  Show("frames", frames, "");
  // The same time with a thread that computes instead of a dump: what the system alone does to the
  // ticker.
  Measure("no dump", g_rounds, [&] {
    curg::Blocking([&] {
      std::thread([until = Now() + static_cast<int64_t>(collect_ns)] {
        while (Now() < until) {
        }
      }).join();
    });
  });
  const auto pprof = [] {
    if (!curg::EncodeTaskPprof(curg::CollectTaskProfile({.each_task = false})).ok()) std::abort();
  };
  Measure("first pprof", 1, pprof);  // reads symbols
  Measure("pprof", g_rounds, pprof);
  Measure("grouped text", g_rounds, [] {
    curg::WriteGroupedTaskText(curg::CollectTaskProfile({.each_task = false}), Discard);
  });
  Measure("text", g_rounds, [] { curg::WriteTaskText(curg::CollectTaskProfile(), Discard); });
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    const bool known =
        (absl::ConsumePrefix(&argument, "--tasks=") && absl::SimpleAtoi(argument, &g_tasks)) ||
        (absl::ConsumePrefix(&argument, "--rounds=") && absl::SimpleAtoi(argument, &g_rounds));
    if (!known) {
      std::fprintf(stderr, "usage: task_profile_curg [--tasks=N] [--rounds=N]\n");
      return 2;
    }
  }
  return curg::Run(&Run);
}
