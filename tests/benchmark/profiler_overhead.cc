// SPDX-License-Identifier: Apache-2.0
//
// What the program pays. Each round runs the load several times, in random order: twice without a
// profile, at 100 Hz by default and by timers, and at 1 kHz by timers and by perf events. What the
// two without differ by is what this machine cannot resolve.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "labels/labels.h"
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

// One way to run a load.
struct Mode {
  int rate_hz = 0;  // 0: without a profile
  CpuEngine engine = CpuEngine::kAuto;
};

using Load = std::function<void()>;

// The CPU time of `load`, after `settle`; not a number where the machine does not have the engine.
double Time(Mode mode, const Load& load, const Load& settle = nullptr) {
  absl::StatusOr<CpuProfileSession> session = absl::UnavailableError("");
  if (mode.rate_hz != 0) {
    session = StartCpuProfile({.rate_hz = mode.rate_hz, .engine = mode.engine});
    if (!session.ok()) return std::nan("");
  }
  if (settle) settle();
  const double start = ThreadCpuSeconds();
  load();
  const double used = ThreadCpuSeconds() - start;
  if (session.ok()) (void)session->Stop();
  return used;
}

enum { kOff, kOffAgain, k100Hz, kTimers100Hz, kTimers1000Hz, kPerf1000Hz, kModes };
constexpr Mode kHow[kModes] = {{},
                               {},
                               {.rate_hz = 100},
                               {.rate_hz = 100, .engine = CpuEngine::kTimer},
                               {.rate_hz = 1000, .engine = CpuEngine::kTimer},
                               {.rate_hz = 1000, .engine = CpuEngine::kPerf}};

// One for each mode, against kOff.
using Overhead = std::array<Spread, kModes>;

// Requires: on a task of a runtime with one worker.
Overhead MeasureLoad(int rounds, const Load& load, const Load& settle = nullptr) {
  std::vector<double> ratios[kModes];
  std::minstd_rand random(1);
  load();
  for (int round = 0; round < rounds; ++round) {
    int order[kModes];
    std::iota(std::begin(order), std::end(order), 0);
    std::shuffle(std::begin(order), std::end(order), random);
    double times[kModes];
    for (const int mode : order) times[mode] = Time(kHow[mode], load, settle);
    for (int mode = 0; mode < kModes; ++mode) ratios[mode].push_back(times[mode] / times[kOff]);
  }
  Overhead overhead;
  std::transform(std::begin(ratios), std::end(ratios), overhead.begin(), &SpreadOf);
  return overhead;
}

std::string RangeOf(const Spread& spread) {
  return absl::StrCat("95 %: ", std::round(spread.low * 100) / 100, " to ",
                      std::round(spread.high * 100) / 100);
}

void Report(const char* load, const Overhead& overhead, ProfilerReport& report) {
  const Spread& none = overhead[kOffAgain];
  const double noise = std::max(-none.low, none.high);
  report.AddWithVerdict(absl::StrCat(load, ": A/A"), none.median, "%", "", {}, RangeOf(none));
  for (const int mode : {k100Hz, kTimers100Hz}) {
    const Spread& low_rate = overhead[mode];
    const bool inside = low_rate.low <= none.high && none.low <= low_rate.high;
    report.AddWithVerdict(
        absl::StrCat(load, ": overhead at 100 Hz", mode == kTimers100Hz ? ", timers" : ""),
        low_rate.median, "%", "inside the A/A spread", inside,
        absl::StrCat(inside ? "yes (" : "NO (", RangeOf(low_rate), ")"));
  }
  constexpr double kTarget = 0.5;
  const Spread& timers = overhead[kTimers1000Hz];
  std::optional<bool> holds;
  if (timers.high < kTarget) holds = true;
  if (timers.low > kTarget && timers.median - noise > kTarget) holds = false;
  const char* const verdict = !holds ? "not resolvable" : *holds ? "yes" : "NO";
  report.AddWithVerdict(absl::StrCat(load, ": overhead at 1 kHz, timers"), timers.median, "%",
                        "< 0.5", holds, absl::StrCat(verdict, " (", RangeOf(timers), ")"));
  const Spread& perf = overhead[kPerf1000Hz];
  if (std::isnan(perf.median)) return;
  report.AddWithVerdict(absl::StrCat(load, ": overhead at 1 kHz, perf events"), perf.median, "%",
                        "", {}, RangeOf(perf));
}

constexpr int64_t kRoundTrips = 1'000'000;  // a tenth of a second

// A plain thread that answers by a pipe, as fast as it is asked: two switches by the kernel each.
class Echo {
 public:
  Echo() {
    const bool made = pipe(to_) == 0 && pipe(from_) == 0;
    if (!made) std::abort();
    thread_ = std::thread([this] {
      char byte = 0;
      while (read(to_[0], &byte, 1) == 1 && write(from_[1], &byte, 1) == 1) {
      }
    });
  }
  ~Echo() {
    close(to_[1]);
    thread_.join();
    for (const int end : {to_[0], from_[0], from_[1]}) close(end);
  }
  void RoundTrips(int count) {
    char byte = 0;
    while (--count >= 0 && write(to_[1], &byte, 1) == 1 && read(from_[0], &byte, 1) == 1) {
    }
  }

 private:
  int to_[2] = {};
  int from_[2] = {};
  std::thread thread_;
};

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
      none,
      absl::StrCat(none ? "yes" : "NO", " (95 %: ", std::round(with.low * 100) / 100, " to ",
                   std::round(with.high * 100) / 100,
                   "; never on: ", std::round(without.low * 100) / 100, " to ",
                   std::round(without.high * 100) / 100, ")"));
}

}  // namespace

int RunIdleChild(bool profile) {
  curg::Run({.workers = 1}, [profile] {
    const auto load = [] { ChannelRoundTrips(kRoundTrips / 20); };
    load();
    std::vector<double> before;
    std::vector<double> after;
    for (int i = 0; i < 7; ++i) before.push_back(Time({}, load));
    if (profile) (void)StartCpuProfile()->Stop();
    for (int i = 0; i < 7; ++i) after.push_back(Time({}, load));
    std::nth_element(before.begin(), before.begin() + 3, before.end());
    std::nth_element(after.begin(), after.begin() + 3, after.end());
    std::printf("%.9f\n", after[3] / before[3]);
  });
  return 0;
}

void MeasureOverhead(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const int rounds = options.quick ? 10 : 60;
  curg::Run({.workers = 1, .long_slice = std::chrono::milliseconds(0)}, [&] {
    peers::MatrixProduct product;
    volatile double sink = 0;
    Report("512x512 product", MeasureLoad(rounds, [&] { sink = product.Run(); }), report);
    Report("channels", MeasureLoad(rounds, [] { ChannelRoundTrips(kRoundTrips); }), report);
    const Labels other = Labels::Of({{"side", "other"}});
    Report("channels between label sets",
           MeasureLoad(rounds, [&other] { ChannelRoundTrips(kRoundTrips, other); }), report);
    Echo echo;
    const Load turns = [&echo] { echo.RoundTrips(60'000); };
    // Such threads get timers after a fifth of a second.
    Report("threads that take turns", MeasureLoad(rounds / 5, turns, /*settle=*/turns), report);
  });
  MeasureOff(options.quick, report);
}

}  // namespace curg
