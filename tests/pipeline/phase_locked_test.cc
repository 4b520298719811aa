// SPDX-License-Identifier: Apache-2.0
//
// Work in step with the kernel's tick. Tasks wake every 8 ms by the absolute clock and use 1.5 ms
// in one function and then 1.0 ms in another: in half of the phases, timers see nothing of it. The
// totals by label are right all the same, since they are counted.
//
// A measurement that came out wrong on a loaded machine is repeated twice as long, never judged by
// a wider bound.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "tests/pipeline/hog.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

constexpr int kPhases = 8;
constexpr milliseconds kCycle(8);

template <typename Fn>
void Use(nanoseconds cpu, Fn fn) {
  for (const nanoseconds end = ThreadCpu() + cpu; ThreadCpu() < end;) fn();
}

// CPU time used under a label: with and without what it takes to set the label and to look at the
// clock.
struct Used {
  nanoseconds least{0};
  nanoseconds most{0};
};

// Works for `duration`, `phase` milliseconds after each multiple of 8 ms.
Used WorkInPhase(int phase, milliseconds duration) {
  Used used;
  const Clock::time_point end = Clock::now() + duration;
  for (Clock::time_point now = Clock::now(); now < end; now = Clock::now()) {
    const Clock::time_point cycle(now.time_since_epoch() / kCycle * kCycle + kCycle);
    SleepUntil(cycle + milliseconds(phase));
    const nanoseconds begin = ThreadCpu();
    {
      const ScopedLabels labels({{"phase", std::to_string(phase)}});
      const nanoseconds before = ThreadCpu();
      Use(microseconds(1500), HogA);
      Use(microseconds(1000), HogB);
      used.least += ThreadCpu() - before;
    }
    used.most += ThreadCpu() - begin;
  }
  return used;
}

struct Result {
  std::array<double, kPhases> to_least = {};  // of the profile to the clock
  std::array<double, kPhases> to_most = {};
  double a_share = 0;  // of what was sampled
  int64_t not_sampled = 0;
};

Result Measure(CpuEngine engine, int busy, milliseconds duration, int rate_hz = 100) {
  std::array<Used, kPhases> used = {};
  const CpuProfile profile = curg::Run({.workers = 1 + busy}, [&] {
    std::atomic<bool> done{false};
    std::vector<JoinHandle<void>> others;
    for (int i = 0; i < busy; ++i) {
      others.push_back(Go([&done] {
        const ScopedLabels labels({{"phase", "busy"}});
        while (!done) HogA();
      }));
    }
    CpuProfileSession session = StartCpuProfile({.rate_hz = rate_hz, .engine = engine}).value();
    for (int phase = 0; phase < kPhases; ++phase) {
      used[static_cast<size_t>(phase)] = WorkInPhase(phase, duration);
    }
    CpuProfile taken = session.Stop();
    done = true;
    for (JoinHandle<void>& other : others) other.Join();
    return taken;
  });

  Result result;
  std::array<int64_t, kPhases> weight = {};
  int64_t a = 0;
  int64_t b = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    const std::string phase(Labels::FromTag(entry.tag).Get("phase").value_or("busy"));
    if (phase == "busy") continue;
    weight[static_cast<size_t>(std::stoi(phase))] += entry.weight;
    if (HasHogA(entry)) a += entry.weight;
    if (HasHogB(entry)) b += entry.weight;
    if (entry.kind == SampleKind::kNotSampled) result.not_sampled += entry.weight;
  }
  for (size_t i = 0; i < kPhases; ++i) {
    const auto ratio = [&](nanoseconds cpu) {
      return static_cast<double>(weight[i]) / static_cast<double>(cpu.count());
    };
    result.to_least[i] = ratio(used[i].least);
    result.to_most[i] = ratio(used[i].most);
    std::printf("%s, %d busy: phase %zu: %.4f to %.4f of the clock\n", EngineName(engine).c_str(),
                busy, i, result.to_most[i], result.to_least[i]);
  }
  result.a_share = static_cast<double>(a) / static_cast<double>(std::max<int64_t>(a + b, 1));
  std::printf("A: %.3f of what was sampled; not sampled: %.1f ms; exact label sets: %ld\n",
              result.a_share, static_cast<double>(result.not_sampled) * 1e-6,
              static_cast<long>(profile.quality.exact_tags));
  return result;
}

bool WithinOnePercent(const Result& result) {
  return std::all_of(result.to_least.begin(), result.to_least.end(),
                     [](double ratio) { return ratio > 0.99; }) &&
         std::all_of(result.to_most.begin(), result.to_most.end(),
                     [](double ratio) { return ratio < 1.01; });
}

TEST(PhaseLocked, TimersGiveTheRightTotalsByLabel) {
  bool holds = false;
  for (milliseconds duration(250); !holds && duration <= milliseconds(2000); duration *= 2) {
    holds = WithinOnePercent(Measure(CpuEngine::kTimer, 0, duration));
  }
  EXPECT_TRUE(holds);
}

TEST(PhaseLocked, AlsoWithTwiceAsManyBusyThreadsAsCores) {
  const int busy = 2 * static_cast<int>(std::thread::hardware_concurrency());
  bool holds = false;
  for (milliseconds duration(250); !holds && duration <= milliseconds(1000); duration *= 2) {
    holds = WithinOnePercent(Measure(CpuEngine::kTimer, busy, duration));
  }
  EXPECT_TRUE(holds);
}

// 400 samples a second are one for each 2.5 ms that the work takes: in step with it, all would meet
// the same function.
TEST(PhaseLocked, PerfEventsAlsoSeeTheFunctions) {
  if (const auto tried = StartCpuProfile({.engine = CpuEngine::kPerf}); !tried.ok()) {
    GTEST_SKIP() << tried.status();
  }
  bool holds = false;
  for (milliseconds duration(400); !holds && duration <= milliseconds(3200); duration *= 2) {
    const Result result = Measure(CpuEngine::kPerf, 0, duration, /*rate_hz=*/400);
    holds = WithinOnePercent(result) && result.a_share > 0.55 && result.a_share < 0.65;
  }
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace curg::internal
