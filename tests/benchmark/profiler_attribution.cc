// SPDX-License-Identifier: Apache-2.0
//
// Whose sample is it, and by whose table was it walked: every one of very many is checked.
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "runtime/unwind_table.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/pipeline/label_storm.h"
#include "tests/pipeline/plugin_storm.h"

namespace curg {

void MeasureAttribution(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  (void)internal::RefreshUnwindTables();
  const int64_t samples = options.quick ? 100'000 : 1'000'000;
  const internal::LabelStormCounts labels = internal::RunLabelStorm(/*workers=*/4, samples);
  const auto all = static_cast<double>(labels.samples);
  report.Add("samples of tasks that do everything at once", all, "",
             Bound::AtLeast(static_cast<double>(samples)));
  report.Add("  with a wrong label", static_cast<double>(labels.wrong), "", Bound::Between(0, 0));
  report.Add("  with frames of two tasks", static_cast<double>(labels.mixed), "",
             Bound::Between(0, 0));
  report.Add("  with a label", 100 * static_cast<double>(labels.labelled) / all, "%",
             Bound::AtLeast(99.99));
  report.Add("  lost", static_cast<double>(labels.lost), "", Bound::Between(0, 0));
  if (labels.wrong != 0) report.Note(absl::StrCat("The first wrong label: ", labels.first_wrong));
  report.Note(absl::StrCat(
      "Meanwhile ", labels.tasks, " tasks began, labels changed ", labels.phases, " times, ",
      labels.switches, " samples fell into a switch and ", labels.runtime, " on the scheduler."));

  const internal::PluginStormCounts plugins = internal::RunPluginStorm(
      {"tests/runtime/unwind_plugin_a.so", "tests/runtime/unwind_plugin_b.so"},
      options.quick ? 10'000 : 100'000);
  report.Add("samples in plug-ins that replace each other", static_cast<double>(plugins.samples),
             "", Bound::None());
  report.Add("  loads into the place of the other", static_cast<double>(plugins.same_place), "",
             Bound::AtLeast(1000));
  report.Add("  stacks walked by stale rows", static_cast<double>(plugins.stale), "",
             Bound::Between(0, 0));
}

}  // namespace curg
