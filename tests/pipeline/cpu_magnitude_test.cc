// SPDX-License-Identifier: Apache-2.0
//
// Go's TestCPUProfileMultithreadMagnitude, stricter: the profile's nanoseconds are within 5 % of
// the process's user and system CPU time, with one worker, two, and as many as there are CPUs.
//
// A measurement that came out wrong on a loaded machine is repeated twice as long, never judged by
// a wider bound.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "tests/pipeline/hog.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

double ProcessSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Magnitudes {
  double profile = 0;  // seconds, as the entries say
  double quality = 0;  // seconds, as the profile says that the process used
  double process = 0;  // seconds, as the kernel says
};

Magnitudes Measure(int workers, milliseconds duration) {
  return curg::Run({.workers = workers}, [&] {
    const double before = ProcessSeconds();
    CpuProfileSession session = StartCpuProfile().value();
    const Clock::time_point end = Clock::now() + duration;
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < workers; ++i) {
      tasks.push_back(Go([end] {
        while (Clock::now() < end) HogA();
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    const CpuProfile profile = session.Stop();
    Magnitudes magnitudes = {.process = ProcessSeconds() - before};
    for (const CpuProfileEntry& entry : profile.entries) {
      magnitudes.profile += 1e-9 * static_cast<double>(entry.weight);
    }
    magnitudes.quality = absl::ToDoubleSeconds(profile.quality.cpu_time);
    EXPECT_EQ(profile.quality.lost_samples, 0);
    EXPECT_EQ(profile.quality.threads_refused, 0);
    return magnitudes;
  });
}

class CpuMagnitude : public testing::TestWithParam<int> {};

TEST_P(CpuMagnitude, IsTheProcessesCpuTime) {
  const auto close = [](double a, double b) { return a > 0.95 * b && a < 1.05 * b; };
  Magnitudes found;
  for (milliseconds duration(1000); duration <= milliseconds(16'000); duration *= 2) {
    found = Measure(GetParam(), duration);
    if (close(found.profile, found.process) && close(found.quality, found.process)) break;
  }
  EXPECT_NEAR(found.profile, found.process, 0.05 * found.process);
  EXPECT_NEAR(found.quality, found.process, 0.05 * found.process);
}

INSTANTIATE_TEST_SUITE_P(
    Workers, CpuMagnitude,
    testing::Values(1, 2, std::max(3, static_cast<int>(std::thread::hardware_concurrency()))));

}  // namespace
}  // namespace curg::internal
