// SPDX-License-Identifier: Apache-2.0
//
// Whether stacks are right: before every instruction against a shadow stack, at arbitrary ones
// against libunwind, and on tasks up to the root.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/libunwind.h"
#include "runtime/unwind_table.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/profiler/signal_storm.h"
#include "tests/runtime/mixed_work.h"
#include "tests/runtime/single_step.h"
#include "tests/runtime/unwind_comparison.h"

namespace curg {
namespace {

using internal::CodeRegions;

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

// About as many instructions of each kind.
void EqualShares(int) {
  using namespace internal;  // NOLINT(google-build-using-namespace)
  SortWork(10);
  PrintWork(40);
  RegexWork(6);
  StreamWork(30);
  CopyWork(250);
  AllocateWork(500);
  MathWork(150);
  ClockWork(400);
  RealignedWork(30);
  RecursiveWork(25);
  ExceptionWork(1);
  ZlibWork(1);
  CryptoWork(30);
  AssemblyWork(100);
}

void MeasureSteps(bool quick, ProfilerReport& report) {
  internal::MixedWork(1);  // whatever is done once in a process
  (void)internal::RefreshUnwindTables();
  const std::vector<internal::StepTally> tallies =
      internal::SingleStep(&EqualShares, quick ? 1 : 3);
  internal::StepTally sum;
  internal::StepTally outside;  // of throws
  std::string parts;
  for (size_t i = 0; i < tallies.size(); ++i) {
    const internal::StepTally& tally = tallies[i];
    sum.steps += tally.steps;
    sum.exact += tally.exact;
    sum.rooted += tally.rooted;
    if (i != CodeRegions::kExceptions) {
      outside.steps += tally.steps;
      outside.exact += tally.exact;
    }
    absl::StrAppend(
        &parts, i == 0 ? "" : ", ", std::string(CodeRegions::Name(i)), " ", tally.steps,
        tally.exact == tally.steps ? "" : absl::StrCat(" (", tally.steps - tally.exact, " wrong)"));
  }
  report.Add("single-stepped instructions", static_cast<double>(sum.steps), "",
             Bound::AtLeast(quick ? 1e5 : 1e6));
  report.Add("stacks exact before an instruction", Percent(sum.exact, sum.steps), "%",
             Bound::AtLeast(99.9));
  report.Add("  outside of libgcc's throws", Percent(outside.exact, outside.steps), "%",
             Bound::AtLeast(99.99));
  const internal::StepTally& throws = tallies[CodeRegions::kExceptions];
  report.Add("  within libgcc's throws", Percent(throws.exact, throws.steps), "%", Bound::None());
  report.Add("  to the root", Percent(sum.rooted, sum.steps), "%", Bound::AtLeast(99.9));
  report.Note(absl::StrCat("Single steps by the leaf's code: ", parts, "."));
}

void MeasureAgainstLibUnwind(bool quick, ProfilerReport& report) {
  const auto reference = internal::LibUnwind::Open();
  if (!reference.ok()) {
    report.AddMissing("stacks as libunwind's", "%", Bound::AtLeast(99),
                      std::string(reference.status().message()));
    return;
  }
  const internal::UnwindComparison comparison =
      internal::CompareWithLibUnwind(**reference, quick ? 20'000 : 200'000);
  report.Add("samples compared with libunwind", static_cast<double>(comparison.samples), "",
             Bound::AtLeast(quick ? 20'000 : 200'000));
  report.Add("stacks as libunwind's", Percent(comparison.agree, comparison.samples), "%",
             Bound::AtLeast(99));
  report.Add("  that differ outside of throws",
             Percent(comparison.DifferencesOutsideThrows(), comparison.samples), "%",
             Bound::AtMost(0.1));
  report.Add("  to the root", Percent(comparison.rooted, comparison.samples), "%",
             Bound::AtLeast(99.9));
  report.Note(absl::StrCat("Against libunwind: ", comparison.Table()));
}

struct Reach {
  int64_t samples = 0;
  int64_t whole = 0;
  int64_t switches = 0;
  int64_t frames = 0;
};

// Mixed work on tasks that also switch, until there are that many samples of them.
Reach SampleTasks(int64_t samples) {
  Reach reach;
  std::atomic<int64_t> seen{0};
  curg::Run({.workers = 2, .long_slice = std::chrono::milliseconds(0)}, [&] {
    internal::SignalStorm storm(
        {.rate_hz = 4000}, [&](const internal::ProfHeader& header, std::span<const uintptr_t> pcs) {
          if (header.kind != SampleKind::kTask) return;
          ++reach.samples;
          reach.whole += header.shape == internal::StackShape::kWhole ? 1 : 0;
          reach.switches += header.shape == internal::StackShape::kSwitch ? 1 : 0;
          reach.frames += static_cast<int64_t>(pcs.size());
          seen.store(reach.samples, std::memory_order_relaxed);
        });
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(Go([&] {
        while (seen.load(std::memory_order_relaxed) < samples) {
          internal::MixedWork(2);
          for (int n = 0; n < 200; ++n) Yield();
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
  });
  return reach;
}

}  // namespace

void MeasureUnwinding(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  MeasureSteps(options.quick, report);
  MeasureAgainstLibUnwind(options.quick, report);
  const int64_t samples = options.quick ? 10'000 : 100'000;
  const Reach reach = SampleTasks(samples);
  const auto all = static_cast<double>(reach.samples);
  report.Add("asynchronous samples of tasks", all, "",
             Bound::AtLeast(static_cast<double>(samples)));
  // A sample within a switch is its one well-known frame, and needs no more.
  report.Add("  that reach the task's root",
             100 * static_cast<double>(reach.whole + reach.switches) / all, "%",
             Bound::AtLeast(99.9));
  report.Add("  within a switch: one well-known frame",
             100 * static_cast<double>(reach.switches) / all, "%", Bound::None());
}

}  // namespace curg
