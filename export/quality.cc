// SPDX-License-Identifier: Apache-2.0
#include "export/quality.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace curg {
namespace {

double Percent(double part, double whole) { return whole <= 0 ? 0 : 100 * part / whole; }

absl::Duration Time(const CpuProfile& profile, int64_t periods) {
  return absl::Nanoseconds(periods * profile.period_ns);
}

std::string Round(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

}  // namespace

CpuProfileTotals TotalsOf(const CpuProfile& profile) {
  CpuProfileTotals totals;
  for (const CpuProfileEntry& entry : profile.entries) {
    totals.samples += entry.samples;
    totals.periods += entry.periods;
    switch (entry.kind) {
      case SampleKind::kTask:
        totals.task_periods += entry.periods;
        break;
      case SampleKind::kRuntime:
        totals.runtime_periods += entry.periods;
        break;
      case SampleKind::kForeign:
        totals.foreign_periods += entry.periods;
        break;
      case SampleKind::kLost:
        totals.lost_periods += entry.periods;
        break;
      case SampleKind::kOverflow:
        totals.overflow_periods += entry.periods;
        break;
    }
  }
  return totals;
}

std::vector<std::string> QualityWarnings(const CpuProfile& profile) {
  const CpuProfileQuality& quality = profile.quality;
  const CpuProfileTotals totals = TotalsOf(profile);
  std::vector<std::string> lines;
  // A handful of periods may well pass between two samples.
  if (totals.samples == 0 && quality.cpu_time > Time(profile, 10)) {
    lines.push_back(absl::StrCat("nothing was recorded, although the program used ",
                                 Round(quality.cpu_time), " of CPU time"));
  }
  if (quality.lost_samples > 0) {
    lines.push_back(absl::StrCat("lost: ", quality.lost_samples, " samples (",
                                 Round(Time(profile, quality.lost_periods)),
                                 ") found no room in a prof buffer"));
  }
  if (quality.overflow_samples > 0) {
    lines.push_back(absl::StrCat("overflow: ", quality.overflow_samples,
                                 " samples had no room for a stack of their own in the prof map"));
  }
  if (quality.truncated > 0) {
    lines.push_back(
        absl::StrCat("truncated: ", quality.truncated, " stacks were deeper than recorded"));
  }
  if (quality.failed_unwinds > 0) {
    lines.push_back(absl::StrCat("failed unwinds: ", quality.failed_unwinds,
                                 " stacks end before their root (no unwind information: ",
                                 quality.failed_no_row, ", a frame outside of its stack: ",
                                 quality.failed_bad_frame,
                                 ", unknown bounds: ", quality.failed_no_bounds, ")"));
  }
  if (quality.threads_refused > 0) {
    lines.push_back(absl::StrCat("threads refused: the kernel gave no timer to ",
                                 quality.threads_refused, " threads, which are not in here"));
  }
  return lines;
}

std::vector<std::string> QualityReport(const CpuProfile& profile) {
  const CpuProfileQuality& quality = profile.quality;
  const CpuProfileTotals totals = TotalsOf(profile);
  std::vector<std::string> lines;
  lines.push_back(absl::StrCat("engine: ", quality.engine.empty() ? "unknown" : quality.engine));
  if (profile.period_ns > 0) {
    lines.push_back(absl::StrFormat("period: %s (%.6g Hz)",
                                    absl::FormatDuration(absl::Nanoseconds(profile.period_ns)),
                                    1e9 / static_cast<double>(profile.period_ns)));
  }
  lines.push_back(absl::StrFormat("samples: %d, for %d periods (overruns: %d)", totals.samples,
                                  totals.periods, quality.overruns));
  const absl::Duration sampled = Time(profile, totals.periods);
  lines.push_back(absl::StrFormat(
      "cpu time: %s sampled of %s used (%.1f%%)", Round(sampled), Round(quality.cpu_time),
      Percent(absl::ToDoubleSeconds(sampled), absl::ToDoubleSeconds(quality.cpu_time))));
  if (quality.cpu_time > absl::ZeroDuration()) {
    lines.push_back(absl::StrFormat(
        "achieved rate: %.1f samples a second of CPU time",
        static_cast<double>(totals.samples) / absl::ToDoubleSeconds(quality.cpu_time)));
  }
  const double all = static_cast<double>(totals.periods);
  lines.push_back(absl::StrFormat("shares: tasks %.1f%%, runtime %.1f%%, foreign threads %.1f%%",
                                  Percent(static_cast<double>(totals.task_periods), all),
                                  Percent(static_cast<double>(totals.runtime_periods), all),
                                  Percent(static_cast<double>(totals.foreign_periods), all)));
  lines.push_back(absl::StrCat("threads: ", quality.threads));
  if (quality.switches > 0) {
    lines.push_back(absl::StrCat("in a task switch: ", quality.switches, " samples"));
  }
  if (quality.stale_signals > 0) {
    lines.push_back(absl::StrCat("stale signals, not counted: ", quality.stale_signals));
  }
  for (std::string& line : QualityWarnings(profile)) lines.push_back(std::move(line));
  for (const std::string& note : quality.notes) lines.push_back(absl::StrCat("note: ", note));
  return lines;
}

}  // namespace curg
