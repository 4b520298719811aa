// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/check.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "export/label_sums.h"

namespace wordcount {
namespace {

constexpr double kShareBound = 0.05;
constexpr double kLabelledBound = 0.99;
constexpr double kCpuBound = 0.05;
constexpr double kCpuSeconds = 10;  // what the bounds are meant for

// What the profile says, in nanoseconds but for the samples.
struct Seen {
  PhaseTimes by_phase = {};
  int64_t all = 0;
  int64_t task_samples = 0;
  int64_t labelled_samples = 0;
};

Seen Look(const curg::CpuProfile& profile) {
  Seen seen;
  for (const curg::LabelSum& sum : curg::SumByLabel(profile, {"phase"})) {
    seen.all += sum.weight;
    if (sum.kind != curg::SampleKind::kTask) continue;
    seen.task_samples += sum.samples;
    if (sum.Labelled()) seen.labelled_samples += sum.samples;
    for (size_t i = 0; i < kPhases.size(); ++i) {
      if (sum.values[0] == PhaseName(kPhases[i])) seen.by_phase[i] += sum.weight;
    }
  }
  return seen;
}

double Ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

double Share(const PhaseTimes& times, size_t phase) {
  const int64_t sum = std::accumulate(times.begin(), times.end(), int64_t{0});
  return Ratio(static_cast<double>(times[phase]), static_cast<double>(sum));
}

}  // namespace

CheckResult CheckProfile(const curg::CpuProfile& profile, const PhaseTimes& clocks) {
  const Seen seen = Look(profile);
  CheckResult result;
  result.holds = true;
  const auto verdict = [&result](bool holds) {
    result.holds &= holds;
    return holds ? "ok" : "FAILED";
  };

  result.table = "Check                         clock   profile\n";
  for (size_t i = 0; i < kPhases.size(); ++i) {
    const double clock = Share(clocks, i);
    const double share = Share(seen.by_phase, i);
    absl::StrAppendFormat(&result.table,
                          "  share of phase %-10s  %6.2f%%   %6.2f%%   within 5 points: %s\n",
                          std::string(PhaseName(kPhases[i])), 100 * clock, 100 * share,
                          verdict(std::abs(clock - share) <= kShareBound));
  }
  const double labelled =
      Ratio(static_cast<double>(seen.labelled_samples), static_cast<double>(seen.task_samples));
  absl::StrAppendFormat(&result.table,
                        "  task samples with a phase            %6.2f%%   at least 99%%: %s\n",
                        100 * labelled, verdict(labelled >= kLabelledBound));
  const double cpu_s = absl::ToDoubleSeconds(profile.quality.cpu_time);
  const double seen_s = static_cast<double>(seen.all) * 1e-9;
  absl::StrAppendFormat(
      &result.table, "  CPU time (clock: getrusage)  %6.2fs   %6.2fs   within 5%% (%+.2f%%): %s\n",
      cpu_s, seen_s, 100 * (Ratio(seen_s, cpu_s) - 1),
      verdict(std::abs(Ratio(seen_s, cpu_s) - 1) <= kCpuBound));
  if (cpu_s < kCpuSeconds) {
    absl::StrAppendFormat(&result.table,
                          "  note: the bounds are meant for at least %.0fs; try --min_cpu=%.0fs\n",
                          kCpuSeconds, kCpuSeconds);
  }
  return result;
}

}  // namespace wordcount
