// SPDX-License-Identifier: Apache-2.0
//
// Whether the profile's CPU time is the threads' own: for each engine, by rate and number of
// threads; for threads that live shortly, or in the kernel; for work in step with the kernel's
// tick.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/pipeline/hog.h"
#include "tests/profiler/burn.h"

namespace curg {
namespace {

using internal::BurnCpu;
using internal::ThreadCpu;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// CPU time of entries that carry the label `load`.
double Credited(const CpuProfile& profile) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    if (Labels::FromTag(entry.tag).Get("load").has_value()) weight += entry.weight;
  }
  return static_cast<double>(weight);
}

// Uses that much CPU time of its thread's.
using Work = void (*)(nanoseconds cpu);

void Burn(nanoseconds cpu) { BurnCpu(cpu); }

// Nearly all of it in the kernel: long calls, and very short ones.
void CallKernel(nanoseconds cpu) {
  const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  std::vector<char> buffer(size_t{64} << 10);
  const nanoseconds before = ThreadCpu();
  while (ThreadCpu() - before < cpu) {
    for (int i = 0; i < 10; ++i) {
      if (read(zero, buffer.data(), buffer.size()) < 0) break;
    }
    for (int i = 0; i < 100; ++i) (void)getppid();
  }
  close(zero);
}

// Credited over used, of plain threads that each use `cpu`, all at once.
double AccountedOnThreads(const CpuProfileOptions& options, int threads, nanoseconds cpu,
                          Work work = Burn) {
  CpuProfileSession session = StartCpuProfile(options).value();
  std::vector<nanoseconds> used(static_cast<size_t>(threads));
  std::vector<std::thread> all;
  for (nanoseconds& mine : used) {
    all.emplace_back([&mine, cpu, work] {
      SetLabels(Labels::Of({{"load", "busy"}}));
      work(cpu);
      mine = ThreadCpu();  // all that it ever used
    });
  }
  for (std::thread& thread : all) thread.join();
  nanoseconds sum{0};
  for (const nanoseconds mine : used) sum += mine;
  return Credited(session.Stop()) / static_cast<double>(sum.count());
}

// The same of tasks, one a worker, that do not park.
double AccountedOnWorkers(const CpuProfileOptions& options, int workers, nanoseconds cpu,
                          Work work = Burn) {
  return Run({.workers = workers}, [&] {
    CpuProfileSession session = StartCpuProfile(options).value();
    std::vector<JoinHandle<nanoseconds>> tasks;
    for (int i = 0; i < workers; ++i) {
      tasks.push_back(Go([cpu, work] {
        const ScopedLabels labels({{"load", "busy"}});
        const nanoseconds before = ThreadCpu();
        work(cpu);
        return ThreadCpu() - before;
      }));
    }
    nanoseconds sum{0};
    for (JoinHandle<nanoseconds>& task : tasks) sum += task.Join();
    return Credited(session.Stop()) / static_cast<double>(sum.count());
  });
}

// Fifty threads of the runtime's, one after the other, that live for 30 ms of CPU each.
double AccountedInBursts(const CpuProfileOptions& options, int bursts) {
  CpuProfileSession session = StartCpuProfile(options).value();
  nanoseconds sum{0};
  for (int i = 0; i < bursts; ++i) {
    sum += Run({.workers = 1}, [] {
      const ScopedLabels labels({{"load", "burst"}});
      const nanoseconds before = ThreadCpu();
      BurnCpu(milliseconds(30));
      return ThreadCpu() - before;
    });
  }
  return Credited(session.Stop()) / static_cast<double>(sum.count());
}

// The label's total over the thread's clock, of a task that wakes `phase` ms after each multiple of
// 8 ms.
double AccountedInPhase(CpuEngine engine, int phase, int busy, milliseconds duration,
                        double& a_share) {
  return Run({.workers = 1 + busy}, [&] {
    std::vector<JoinHandle<void>> others;
    const Clock::time_point end = Clock::now() + duration;
    for (int i = 0; i < busy; ++i) {
      others.push_back(Go([end] {
        while (Clock::now() < end) internal::HogA();
      }));
    }
    // Perf events at 1 kHz: a share of 0.6 in N independent samples is uncertain by 50 / sqrt(N)
    // points.
    const int rate_hz = engine == CpuEngine::kPerf ? 1000 : 100;
    CpuProfileSession session = StartCpuProfile({.rate_hz = rate_hz, .engine = engine}).value();
    nanoseconds used{0};
    constexpr milliseconds kCycle(8);
    for (Clock::time_point now = Clock::now(); now < end; now = Clock::now()) {
      SleepUntil(Clock::time_point(now.time_since_epoch() / kCycle * kCycle + kCycle) +
                 milliseconds(phase));
      const ScopedLabels labels({{"load", "phase"}});
      const nanoseconds before = ThreadCpu();
      while (ThreadCpu() - before < std::chrono::microseconds(1500)) internal::HogA();
      while (ThreadCpu() - before < std::chrono::microseconds(2500)) internal::HogB();
      used += ThreadCpu() - before;
    }
    const CpuProfile profile = session.Stop();
    int64_t a = 0;
    int64_t b = 0;
    for (const CpuProfileEntry& entry : profile.entries) {
      if (!Labels::FromTag(entry.tag).Get("load").has_value()) continue;
      if (internal::HasHogA(entry)) a += entry.weight;
      if (internal::HasHogB(entry)) b += entry.weight;
    }
    a_share = static_cast<double>(a) / static_cast<double>(std::max<int64_t>(a + b, 1));
    for (JoinHandle<void>& other : others) other.Join();
    return Credited(profile) / static_cast<double>(used.count());
  });
}

bool Available(CpuEngine engine) { return StartCpuProfile({.engine = engine}).ok(); }

}  // namespace

void MeasureAccuracy(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const milliseconds cpu(options.quick ? 200 : 1500);
  for (const CpuEngine engine : {CpuEngine::kTimer, CpuEngine::kPerf, CpuEngine::kPerfUser}) {
    const std::string name = absl::StrCat(", ", EngineName(engine));
    if (!Available(engine)) {
      report.AddMissing(absl::StrCat("CPU accounted", name), "", Bound::Between(0.99, 1.01),
                        "the kernel refuses it");
      continue;
    }
    std::vector<int> rates = {100, 1000};
    if (engine != CpuEngine::kTimer) rates.push_back(10'000);
    for (const int rate_hz : rates) {
      const CpuProfileOptions how = {.rate_hz = rate_hz, .engine = engine};
      for (const int threads : {1, 4, 16}) {
        const Bound bound = engine == CpuEngine::kPerfUser ? Bound::AtLeast(0.98)
                            : threads == 16                ? Bound::Between(0.98, 1.01)
                                                           : Bound::Between(0.99, 1.01);
        const std::string what = absl::StrCat(rate_hz, " Hz", name);
        report.Add(absl::StrCat("CPU accounted, ", threads, " plain threads, ", what),
                   AccountedOnThreads(how, threads, cpu), "", bound);
        report.Add(absl::StrCat("CPU accounted, ", threads, " workers, ", what),
                   AccountedOnWorkers(how, threads, cpu), "", bound);
      }
    }
    report.Add(absl::StrCat("CPU accounted, 50 runtime threads of 30 ms", name),
               AccountedInBursts({.engine = engine}, options.quick ? 5 : 50), "",
               Bound::AtLeast(0.97));
  }
  // On the engine that a program gets which asks for none.
  for (const int rate_hz : {100, 1000}) {
    const std::string what = absl::StrCat(", in system calls, ", rate_hz, " Hz");
    report.Add(absl::StrCat("CPU accounted, 4 plain threads", what),
               AccountedOnThreads({.rate_hz = rate_hz}, 4, cpu, CallKernel), "",
               Bound::Between(0.99, 1.01));
    report.Add(absl::StrCat("CPU accounted, 4 workers", what),
               AccountedOnWorkers({.rate_hz = rate_hz}, 4, cpu, CallKernel), "",
               Bound::Between(0.99, 1.01));
  }
}

void MeasurePhaseLocked(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const int busy = 2 * static_cast<int>(std::thread::hardware_concurrency());
  for (const CpuEngine engine : {CpuEngine::kTimer, CpuEngine::kPerf}) {
    if (!Available(engine)) continue;
    const milliseconds duration((engine == CpuEngine::kPerf ? 4000 : 1000) /
                                (options.quick ? 5 : 1));
    for (const int others : {0, busy}) {
      double least = 2;
      double most = 0;
      double furthest = 0;
      for (int phase = 0; phase < 8; ++phase) {
        double a_share = 0;
        const double ratio = AccountedInPhase(engine, phase, others, duration, a_share);
        least = std::min(least, ratio);
        most = std::max(most, ratio);
        furthest = std::max(furthest, std::abs(a_share - 0.6));
      }
      const std::string where =
          absl::StrCat(others == 0 ? "" : ", busy cores", ", ", EngineName(engine));
      report.Add(absl::StrCat("phase-locked load, label total, least", where), least, "",
                 Bound::AtLeast(0.99));
      report.Add(absl::StrCat("phase-locked load, label total, most", where), most, "",
                 Bound::AtMost(1.01));
      if (engine == CpuEngine::kPerf) {
        report.Add(absl::StrCat("phase-locked load, split by function off by", where),
                   100 * furthest, "points", Bound::AtMost(5));
      }
    }
  }
}

}  // namespace curg
