// SPDX-License-Identifier: Apache-2.0
//
// What a profile takes: time to start, memory, and room for the highest rate.
#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "profiler/cpu_profiler.h"
#include "profiler/prof_map.h"
#include "runtime/go.h"
#include "runtime/unwind_table.h"
#include "tests/benchmark/peers/measure.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/examples/subprocess.h"
#include "tests/runtime/mixed_work.h"

namespace curg {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// ---- Start.

// The median of a few processes' first starts, with that library loaded.
double FirstStartMs(const std::string& library, int processes) {
  std::vector<double> times;
  for (int i = 0; i < processes; ++i) {
    const ProgramResult child = RunProgram({"/proc/self/exe", "--child=start:" + library});
    double time = 0;
    if (child.status == 0 && absl::SimpleAtod(child.out, &time)) times.push_back(time);
  }
  if (times.empty()) return -1;
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

// A shared object with 160 MB of code in 250,000 functions, each with a frame to unwind; as large
// as a compiler's.
std::string GenerateHugeLibrary() {
  const std::string directory = NewDirectory();
  WriteFile(directory + "/huge.S", R"(
    .text
    .rept 250000
    .p2align 4
    .cfi_startproc
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbp, -16
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbx, -24
    sub $40, %rsp
    .cfi_adjust_cfa_offset 40
    .skip 400, 0x90
    .cfi_remember_state
    add $40, %rsp
    .cfi_adjust_cfa_offset -40
    pop %rbx
    .cfi_adjust_cfa_offset -8
    pop %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_restore_state
    .skip 190, 0x90
    add $40, %rsp
    .cfi_adjust_cfa_offset -40
    pop %rbx
    .cfi_adjust_cfa_offset -8
    pop %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .endr
)");
  const ProgramResult made =
      RunProgram({"/usr/bin/gcc", "-shared", "-nostdlib", "-Wl,--build-id=sha1", "-o",
                  directory + "/huge.so", directory + "/huge.S"});
  (void)RunProgram({"/bin/rm", directory + "/huge.S"});
  return made.status == 0 ? directory + "/huge.so" : "";
}

// ---- Memory.

// Threads that compute for a while when they are told, and live until they are told again.
class Crowd {
 public:
  explicit Crowd(int threads) : begin_(threads + 1), done_(threads + 1), end_(threads + 1) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] {
        internal::MixedWork(1);
        ready_.fetch_add(1);
        begin_.arrive_and_wait();
        const double until = CpuSeconds() + kSecondsEach;
        while (CpuSeconds() < until) internal::SortWork(10);
        done_.arrive_and_wait();
        end_.arrive_and_wait();
      });
    }
    while (ready_.load() < threads) std::this_thread::sleep_for(milliseconds(5));
  }
  ~Crowd() {
    end_.arrive_and_wait();
    for (std::thread& thread : threads_) thread.join();
  }
  void Work() {
    begin_.arrive_and_wait();
    done_.arrive_and_wait();
  }

 private:
  static constexpr double kSecondsEach = 0.02;

  static double CpuSeconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  std::atomic<int> ready_{0};
  std::barrier<> begin_;
  std::barrier<> done_;
  std::barrier<> end_;
  std::vector<std::thread> threads_;
};

// Resident memory that a profile of 500 threads adds, all told: rings, tables, map.
void MeasureCrowd(ProfilerReport& report) {
  constexpr int kThreads = 500;
  constexpr double kMiB = 1 << 20;
  (void)internal::RefreshUnwindTables();
  Crowd crowd(kThreads);
  const auto before = static_cast<double>(peers::ResidentBytes());
  CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
  crowd.Work();
  const double added = (static_cast<double>(peers::ResidentBytes()) - before) / kMiB;
  const CpuProfile profile = session.Stop();
  report.Add("500 threads: resident memory added, all told", added, "MiB", Bound::AtMost(20));
  report.Add("  threads profiled", static_cast<double>(profile.quality.threads), "",
             Bound::AtLeast(kThreads));
  report.Add("  lost samples", static_cast<double>(profile.quality.lost_samples), "",
             Bound::Between(0, 0));
}

void MeasureDistinctStacks(bool quick, ProfilerReport& report) {
  constexpr size_t kBytesMax = 8 << 20;
  constexpr double kMiB = 1 << 20;
  const auto before = static_cast<double>(peers::ResidentBytes());
  internal::ProfMap map(kBytesMax);
  std::vector<uintptr_t> pcs(32);
  const int stacks = quick ? 100'000 : 1'000'000;
  for (int i = 0; i < stacks; ++i) {
    for (size_t n = 0; n < pcs.size(); ++n) pcs[n] = 0x1000 + static_cast<uintptr_t>(i) * n;
    map.Add({.pcs = pcs}, 1, 1);
  }
  const double added = (static_cast<double>(peers::ResidentBytes()) - before) / kMiB;
  report.Add(absl::StrCat(stacks, " distinct stacks in a map of 8 MiB: memory"), added, "MiB",
             Bound::AtMost(8 * 1.25));
  report.Add("  in the overflow bucket, and told so", static_cast<double>(map.overflow_samples()),
             "", Bound::AtLeast(1));
}

}  // namespace

int RunStartChild(const std::string& argument) {
  if (!argument.empty() && dlopen(argument.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) return 1;
  curg::Run({.workers = 2}, [] {
    const Clock::time_point start = Clock::now();
    CpuProfileSession session = StartCpuProfile().value();
    std::printf("%.6f\n", MillisecondsSince(start));
    (void)session.Stop();
  });
  return 0;
}

void MeasureStart(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const int processes = options.quick ? 3 : 9;
  report.Add("first start, usual program", FirstStartMs("", processes), "ms", Bound::AtMost(10));
  ProfilerReport::Progress("  assembling 160 MB of code, which takes a while");
  const std::string huge = GenerateHugeLibrary();
  if (huge.empty()) {
    report.AddMissing("first start, 160 MB of code", "ms", Bound::AtMost(200), "no gcc");
    return;
  }
  report.Add("first start, 160 MB of code", FirstStartMs(huge, processes), "ms",
             Bound::AtMost(200));
  (void)RunProgram({"/bin/rm", huge});
}

void MeasureLosses(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const auto seconds = std::chrono::seconds(options.quick ? 3 : 60);
  const CpuProfile profile = curg::Run({.long_slice = milliseconds(0)}, [&] {
    CpuProfileSession session = StartCpuProfile({.rate_hz = CpuProfileOptions::kRateHzMax}).value();
    const Clock::time_point end = Clock::now() + seconds;
    std::vector<JoinHandle<void>> tasks;
    for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
      tasks.push_back(Go([end] {
        while (Clock::now() < end) {
          internal::MixedWork(1);
          Yield();
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    return session.Stop();
  });
  report.Add(absl::StrCat(seconds.count(), " s at the highest rate, all workers busy: samples"),
             static_cast<double>(profile.quality.samples), "", Bound::AtLeast(100));
  report.Add("  lost", static_cast<double>(profile.quality.lost_samples), "", Bound::Between(0, 0));
  const auto all = static_cast<double>(profile.quality.samples);
  report.Add("  whole stacks",
             100 * (1 - static_cast<double>(profile.quality.failed_unwinds) / all), "%",
             Bound::AtLeast(99.9));
  report.Note(absl::StrCat("Engine at the highest rate: ", profile.quality.engine, "."));
}

void MeasureMemory(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  MeasureCrowd(report);
  MeasureDistinctStacks(options.quick, report);
}

}  // namespace curg
