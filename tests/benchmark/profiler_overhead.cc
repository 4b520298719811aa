// SPDX-License-Identifier: Apache-2.0
//
// What the program pays. Each round runs the load four times, in random order: twice without a
// profile, once at 100 Hz, once at 1 kHz. What the two without differ by is what this machine cannot
// resolve.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "tests/benchmark/peers/profilers/matrix_product.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/benchmark/profiler_loads.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

// A median, and how far the true one may be from it (95 %), in percent.
struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};

Spread SpreadOf(std::vector<double> ratios) {
  std::sort(ratios.begin(), ratios.end());
  const auto n = static_cast<double>(ratios.size());
  // Order statistics: the rank of the median is binomial.
  const auto off = static_cast<size_t>(std::ceil(0.98 * std::sqrt(n)));
  const size_t middle = ratios.size() / 2;
  const auto percent = [&](size_t i) { return 100 * (ratios[std::min(i, ratios.size() - 1)] - 1); };
  return {percent(middle), percent(middle > off ? middle - off : 0), percent(middle + off)};
}

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The CPU time of `load`, with a profile at that rate unless it is 0.
double Time(int rate_hz, const std::function<void()>& load) {
  absl::StatusOr<CpuProfileSession> session = absl::UnavailableError("");
  if (rate_hz != 0) session = StartCpuProfile({.rate_hz = rate_hz});
  const double start = ThreadCpuSeconds();
  load();
  const double used = ThreadCpuSeconds() - start;
  if (session.ok()) (void)session->Stop();
  return used;
}

enum Mode { kOff, kOffAgain, k100Hz, k1000Hz, kModes };
constexpr int kRates[kModes] = {0, 0, 100, 1000};

struct Overhead {
  Spread none;
  Spread at_100;
  Spread at_1000;
};

// Requires: on a task of a runtime with one worker.
Overhead MeasureLoad(int rounds, const std::function<void()>& load) {
  std::vector<double> ratios[kModes];
  std::minstd_rand random(1);
  load();
  for (int round = 0; round < rounds; ++round) {
    int order[kModes] = {kOff, kOffAgain, k100Hz, k1000Hz};
    std::shuffle(std::begin(order), std::end(order), random);
    double times[kModes];
    for (const int mode : order) times[mode] = Time(kRates[mode], load);
    for (int mode = 0; mode < kModes; ++mode) ratios[mode].push_back(times[mode] / times[kOff]);
  }
  return {SpreadOf(ratios[kOffAgain]), SpreadOf(ratios[k100Hz]), SpreadOf(ratios[k1000Hz])};
}

void Report(const char* load, const Overhead& overhead, ProfilerReport& report) {
  const double noise = std::max(-overhead.none.low, overhead.none.high);
  report.Add(absl::StrCat(load, ": A/A spread, +-"), noise, "%", Bound::None());
  const bool inside =
      overhead.at_100.low <= overhead.none.high && overhead.none.low <= overhead.at_100.high;
  report.AddWithVerdict(absl::StrCat(load, ": overhead at 100 Hz"), overhead.at_100.median, "%",
                        "inside the A/A spread", inside, inside ? "yes" : "NO");
  constexpr double kTarget = 0.5;
  const Spread& at = overhead.at_1000;
  const std::string range = absl::StrCat(" (95 %: ", std::round(at.low * 100) / 100, " to ",
                                         std::round(at.high * 100) / 100, ")");
  if (at.high < kTarget) {
    report.AddWithVerdict(absl::StrCat(load, ": overhead at 1 kHz"), at.median, "%", "< 0.5", true,
                          absl::StrCat("yes", range));
  } else if (at.low > kTarget && at.median - noise > kTarget) {
    report.AddWithVerdict(absl::StrCat(load, ": overhead at 1 kHz"), at.median, "%", "< 0.5", false,
                          absl::StrCat("NO", range));
  } else {
    report.AddWithVerdict(absl::StrCat(load, ": overhead at 1 kHz"), at.median, "%", "< 0.5", {},
                          absl::StrCat("not resolvable", range));
  }
}

constexpr int64_t kRoundTrips = 150'000;

// What the children of that kind printed.
Spread RunChildren(const char* kind, int children) {
  std::vector<double> ratios;
  for (int i = 0; i < children; ++i) {
    double ratio = 0;
    if (absl::SimpleAtod(RunProgram({"/proc/self/exe", kind}).out, &ratio)) ratios.push_back(ratio);
  }
  return ratios.empty() ? Spread() : SpreadOf(ratios);
}

// Whether a profile that is over has left something behind: processes that run the load, take a
// profile, and run the load again, beside others that take none.
void MeasureOff(bool quick, ProfilerReport& report) {
  const int children = quick ? 3 : 15;
  const Spread without = RunChildren("--child=never", children);
  const Spread with = RunChildren("--child=idle", children);
  const bool none = with.low <= without.high;
  report.AddWithVerdict(
      "channels: overhead while off again", with.median - without.median, "%", "none measurable",
      none, absl::StrCat(none ? "yes" : "NO", " (95 %: ", std::round(with.low * 100) / 100, " to ",
                         std::round(with.high * 100) / 100, "; never on: ",
                         std::round(without.low * 100) / 100, " to ",
                         std::round(without.high * 100) / 100, ")"));
}

}  // namespace

int RunIdleChild(bool profile) {
  curg::Run({.workers = 1}, [profile] {
    const auto load = [] { ChannelRoundTrips(kRoundTrips / 3); };
    load();
    std::vector<double> before;
    std::vector<double> after;
    for (int i = 0; i < 7; ++i) before.push_back(Time(0, load));
    if (profile) (void)StartCpuProfile()->Stop();
    for (int i = 0; i < 7; ++i) after.push_back(Time(0, load));
    std::nth_element(before.begin(), before.begin() + 3, before.end());
    std::nth_element(after.begin(), after.begin() + 3, after.end());
    std::printf("%.9f\n", after[3] / before[3]);
  });
  return 0;
}

void MeasureOverhead(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const int rounds = options.quick ? 10 : 100;
  curg::Run({.workers = 1, .long_slice = std::chrono::milliseconds(0)}, [&] {
    peers::MatrixProduct product;
    volatile double sink = 0;
    Report("512x512 product", MeasureLoad(rounds, [&] { sink = product.Run(); }), report);
    Report("channels", MeasureLoad(rounds, [] { ChannelRoundTrips(kRoundTrips); }), report);
  });
  MeasureOff(options.quick, report);
}

}  // namespace curg
