// SPDX-License-Identifier: Apache-2.0
//
// What the C++ programs of the comparison share: arguments, clocks, memory, output. The programs in
// other languages have the same in theirs; tests/benchmark/README.md says what they agree on.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace peers {

struct Arguments {
  std::string workload;
  int workers = 1;
  int64_t tasks = 1;
  int64_t ops = 1;
  int64_t live = 0;       // tasks parked beside the workload
  bool labelled = false;  // the spawning task has labels
  int busy = 0;           // tasks that work for 20 us and yield, beside the workload; echo only
};

// Ends the program when there is an argument that it does not know.
inline Arguments ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const std::string value(equals == argument.npos ? "" : argument.substr(equals + 1));
    const int64_t number = std::atoll(value.c_str());
    if (name == "--workload") {
      arguments.workload = value;
    } else if (name == "--workers") {
      arguments.workers = static_cast<int>(number);
    } else if (name == "--tasks") {
      arguments.tasks = number;
    } else if (name == "--ops") {
      arguments.ops = number;
    } else if (name == "--live") {
      arguments.live = number;
    } else if (name == "--busy") {
      arguments.busy = static_cast<int>(number);
    } else if (name == "--labelled") {
      arguments.labelled = true;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      std::exit(2);
    }
  }
  return arguments;
}

inline int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Keeps this CPU busy.
inline void Burn(std::chrono::nanoseconds time) {
  const int64_t end = NowNs() + time.count();
  while (NowNs() < end) {
  }
}

// Blocks this thread for 50 us, by the kernel's clock: without the slack of another 50 us that
// threads have by default.
inline void BlockThread() {
  static thread_local const int exact = prctl(PR_SET_TIMERSLACK, 1);
  (void)exact;
  const timespec time = {.tv_sec = 0, .tv_nsec = 50'000};
  nanosleep(&time, nullptr);
}

// What blocks its thread for less than anybody could notice: the shortest system call; and work
// that takes 10 us or so.
inline void ShortCall() { syscall(SYS_getppid); }
inline void TenMicroseconds() {
  uint64_t number = 1;
  for (int i = 0; i < 6500; ++i) {
    number = number * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(number));
  }
}

// A stretch of wall time and of this process's CPU time.
class Stretch {
 public:
  Stretch() : wall_start_(NowNs()), cpu_start_(Cpu()) {}

  void Stop() {
    wall_ns_ = NowNs() - wall_start_;
    cpu_ns_ = Cpu() - cpu_start_;
  }

  int64_t wall_ns() const { return wall_ns_; }
  int64_t cpu_ns() const { return cpu_ns_; }

 private:
  static int64_t Cpu() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000'000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1'000;
  }

  int64_t wall_start_;
  int64_t cpu_start_;
  int64_t wall_ns_ = 0;
  int64_t cpu_ns_ = 0;
};

// Prints one measured value: a line of JSON. `metric` is empty where the workload has only one.
inline void Report(const char* metric, const char* unit, double value, const Stretch& stretch) {
  std::printf("{\"metric\": \"%s\", \"unit\": \"%s\", \"value\": %.3f, ", metric, unit, value);
  std::printf("\"wall_ns\": %lld, \"cpu_ns\": %lld}\n", static_cast<long long>(stretch.wall_ns()),
              static_cast<long long>(stretch.cpu_ns()));
  std::fflush(stdout);
}

// Wall and CPU time per operation.
inline void ReportWallAndCpu(int64_t ops, const Stretch& stretch) {
  Report("wall", "ns/call", static_cast<double>(stretch.wall_ns()) / static_cast<double>(ops),
         stretch);
  Report("cpu", "ns/call", static_cast<double>(stretch.cpu_ns()) / static_cast<double>(ops),
         stretch);
}

inline void ReportPerOp(const char* metric, const char* unit, int64_t ops, const Stretch& stretch) {
  Report(metric, unit, static_cast<double>(stretch.wall_ns()) / static_cast<double>(ops), stretch);
}

// How many nanoseconds `call` takes more than `bare`: each so many times in a row, in turn. The
// least of each, since whatever else the machine does adds to them.
template <typename Bare, typename Call>
void ReportExtra(const char* metric, int64_t ops, int64_t in_a_row, Bare bare, Call call) {
  const auto time = [in_a_row](auto& each) {
    const int64_t start = NowNs();
    for (int64_t i = 0; i < in_a_row; ++i) each();
    return NowNs() - start;
  };
  Stretch stretch;
  int64_t bare_ns = time(bare), call_ns = time(call);
  for (int64_t i = in_a_row; i < ops; i += in_a_row) {
    bare_ns = std::min(bare_ns, time(bare));
    call_ns = std::min(call_ns, time(call));
  }
  stretch.Stop();
  Report(metric, "ns more", static_cast<double>(call_ns - bare_ns) / static_cast<double>(in_a_row),
         stretch);
}

// Median and 99th percentile, without the first tenth (warming up).
inline void ReportDelays(std::vector<int64_t> delays_ns, const Stretch& stretch) {
  const auto first = delays_ns.begin() + static_cast<std::ptrdiff_t>(delays_ns.size() / 10);
  std::sort(first, delays_ns.end());
  const auto count = static_cast<double>(delays_ns.end() - first);
  const auto at = [&](double share) {
    return static_cast<double>(first[static_cast<std::ptrdiff_t>(share * count)]) / 1e3;
  };
  Report("p50", "us", at(0.50), stretch);
  Report("p99", "us", at(0.99), stretch);
}

// What a sleep of 100 us takes longer than that.
template <typename Sleep>
void ReportOvershoots(int64_t count, Sleep sleep) {
  Stretch stretch;
  std::vector<int64_t> overshoots;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t start = NowNs();
    sleep(std::chrono::microseconds(100));
    overshoots.push_back(NowNs() - start - 100'000);
  }
  stretch.Stop();
  ReportDelays(std::move(overshoots), stretch);
}

// Resident memory of this process and the page tables for it, in bytes.
inline int64_t ResidentBytes() {
  std::ifstream status("/proc/self/status");
  int64_t kib = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:") || line.starts_with("VmPTE:")) {
      kib += std::atoll(line.c_str() + line.find(':') + 1);
    }
  }
  return kib * 1024;
}

// How long task `task` sleeps the `sleep`-th time: 1 to 10 ms, the same in every program.
inline std::chrono::microseconds SleepTime(uint64_t task, uint64_t sleep) {
  const uint64_t mixed = ((task * 16 + sleep) * 0x9E3779B97F4A7C15u) >> 40;
  return std::chrono::microseconds(1000 + mixed % 9001);
}

[[noreturn]] inline void UnknownWorkload(const std::string& workload) {
  std::fprintf(stderr, "unknown workload %s\n", workload.c_str());
  std::exit(3);
}

}  // namespace peers
