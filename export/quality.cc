// SPDX-License-Identifier: Apache-2.0
#include "export/quality.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace curg {
namespace {

double Percent(double part, double whole) { return whole <= 0 ? 0 : 100 * part / whole; }

std::string Round(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

// A weight in words: "1.25s", "12000 cycles".
std::string Amount(const CpuProfile& profile, int64_t weight) {
  if (profile.unit == "nanoseconds") return Round(absl::Nanoseconds(weight));
  return absl::StrCat(weight, " ", profile.event);
}

std::string CpuTimeLine(const CpuProfile& profile, const CpuProfileTotals& totals) {
  const CpuProfileQuality& quality = profile.quality;
  if (profile.unit != "nanoseconds") {
    return absl::StrFormat("%s: %d, in %s of CPU time", profile.event, totals.weight,
                           Round(quality.cpu_time));
  }
  return absl::StrFormat(
      "cpu time: %s credited of %s used (%.1f%%)", Amount(profile, totals.weight),
      Round(quality.cpu_time),
      Percent(1e-9 * static_cast<double>(totals.weight), absl::ToDoubleSeconds(quality.cpu_time)));
}

}  // namespace

CpuProfileTotals TotalsOf(const CpuProfile& profile) {
  CpuProfileTotals totals;
  for (const CpuProfileEntry& entry : profile.entries) {
    totals.samples += entry.samples;
    totals.weight += entry.weight;
    switch (entry.kind) {
      case SampleKind::kTask:
        totals.task_weight += entry.weight;
        break;
      case SampleKind::kRuntime:
        totals.runtime_weight += entry.weight;
        break;
      case SampleKind::kForeign:
        totals.foreign_weight += entry.weight;
        break;
      case SampleKind::kLost:
        totals.lost_weight += entry.weight;
        break;
      case SampleKind::kOverflow:
        totals.overflow_weight += entry.weight;
        break;
      case SampleKind::kNotSampled:
        totals.not_sampled_weight += entry.weight;
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
  if (totals.samples == 0 && quality.cpu_time > 10 * absl::Nanoseconds(profile.period_ns)) {
    lines.push_back(absl::StrCat("nothing was recorded, although the program used ",
                                 Round(quality.cpu_time), " of CPU time"));
  }
  if (quality.lost_samples > 0) {
    lines.push_back(absl::StrCat("lost: ", quality.lost_samples, " samples (",
                                 Amount(profile, quality.lost_weight),
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
    lines.push_back(absl::StrCat(
        "failed unwinds: ", quality.failed_unwinds,
        " stacks end before their root (no unwind information: ", quality.failed_no_row,
        ", a frame outside of its stack: ", quality.failed_bad_frame,
        ", unknown bounds: ", quality.failed_no_bounds, ")"));
  }
  if (quality.threads_refused > 0) {
    lines.push_back(absl::StrCat("threads refused: the kernel gave no timer to ",
                                 quality.threads_refused,
                                 " threads, which have no stacks in here"));
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
  lines.push_back(absl::StrFormat("samples: %d (overruns: %d)", totals.samples, quality.overruns));
  lines.push_back(CpuTimeLine(profile, totals));
  if (quality.cpu_time > absl::ZeroDuration()) {
    lines.push_back(absl::StrFormat(
        "achieved rate: %.1f samples a second of CPU time",
        static_cast<double>(totals.samples) / absl::ToDoubleSeconds(quality.cpu_time)));
  }
  const double all = static_cast<double>(totals.weight);
  lines.push_back(absl::StrFormat("shares: tasks %.1f%%, runtime %.1f%%, foreign threads %.1f%%",
                                  Percent(static_cast<double>(totals.task_weight), all),
                                  Percent(static_cast<double>(totals.runtime_weight), all),
                                  Percent(static_cast<double>(totals.foreign_weight), all)));
  lines.push_back(absl::StrCat("threads: ", quality.threads));
  if (quality.filtered_weight > 0) {
    lines.push_back(
        absl::StrCat("left out by the filter: ", Amount(profile, quality.filtered_weight)));
  }
  if (quality.exact_tags > 0) {
    lines.push_back(absl::StrCat(
        "label totals: counted exactly, of ", quality.exact_tags,
        " label sets; moved between them or added: ", Amount(profile, quality.moved_weight),
        quality.unmetered_weight == 0
            ? ""
            : absl::StrCat("; but only sampled for ", Amount(profile, quality.unmetered_weight))));
  }
  if (quality.counted_weight > 0) {
    lines.push_back(
        absl::StrCat("counted, but carried by no signal: ", Amount(profile, quality.counted_weight),
                     ", of it without a stack: ", Amount(profile, totals.not_sampled_weight)));
  }
  if (quality.unseen_weight > 0) {
    lines.push_back(
        absl::StrCat("in threads that were not sampled, since they ended before they "
                     "were found or were refused: ",
                     Amount(profile, quality.unseen_weight)));
  }
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
