// SPDX-License-Identifier: Apache-2.0
//
// Measures what the CPU profiler promises, and prints it as one table beside what was promised.
//
//   ./bazelw run -c opt //tests/benchmark:profiler
//   ./bazelw run -c opt //tests/benchmark:profiler -- --quick --only=unwinding,ring
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "export/command_line.h"
#include "tests/benchmark/profiler_groups.h"

ABSL_FLAG(std::vector<std::string>, only, {}, "the groups to measure, with commas; all if empty");
ABSL_FLAG(bool, quick, false, "a tenth of the work: shows that it runs, not what it is");
ABSL_FLAG(std::string, json, "", "a file for the rows, as JSON");
ABSL_FLAG(std::string, child, "", "of this program's own use");

namespace curg {
namespace {

struct Group {
  const char* name;
  const char* what;
  ProfilerGroup* run;
};

// Single steps first: they want no other thread.
constexpr Group kGroups[] = {
    {"unwinding", "stacks, by single steps, against libunwind, and to the root", &MeasureUnwinding},
    {"start", "the time until a profile runs", &MeasureStart},
    {"handler", "what a sample costs", &MeasureHandler},
    {"ring", "the prof buffer alone", &MeasureRing},
    {"attribution", "labels and stale tables in a million samples", &MeasureAttribution},
    {"accuracy", "the CPU time of profiles against the threads' clocks", &MeasureAccuracy},
    {"phases", "work in step with the kernel's tick", &MeasurePhaseLocked},
    {"losses", "the highest rate with all workers busy", &MeasureLosses},
    {"memory", "500 threads, and more stacks than there is room for", &MeasureMemory},
    {"overhead", "what the program pays, with profiling on and off in turn", &MeasureOverhead},
    {"peers", "gperftools' and Go's profiler on the same work", &MeasurePeers},
};

std::string Usage() {
  std::string usage =
      "Measures what the CPU profiler promises.\n\n"
      "  profiler [--only=GROUP,...] [--quick] [--json=PATH]\n\n"
      "Groups, in this order:\n";
  for (const Group& group : kGroups) {
    absl::StrAppend(&usage, "  ", group.name, std::string(14 - std::string(group.name).size(), ' '),
                    group.what, "\n");
  }
  return usage;
}

bool Known(const std::string& name) {
  return std::any_of(std::begin(kGroups), std::end(kGroups),
                     [&name](const Group& group) { return name == group.name; });
}

int RunChild(const std::string& what) {
  if (what == "idle") return RunIdleChild(true);
  if (what == "never") return RunIdleChild(false);
  return RunStartChild(what.substr(what.find(':') + 1));
}

int Main() {
  if (const std::string child = absl::GetFlag(FLAGS_child); !child.empty()) return RunChild(child);
  const std::vector<std::string> only = absl::GetFlag(FLAGS_only);
  for (const std::string& name : only) {
    if (Known(name)) continue;
    std::fprintf(stderr, "no group is named '%s'; --help lists them\n", name.c_str());
    return 2;
  }
  ProfilerReport report;
#ifndef NDEBUG
  report.Note("Not optimised: use -c opt, or believe no time.");
#endif
  const ProfilerBenchmarkOptions options = {.quick = absl::GetFlag(FLAGS_quick)};
  if (options.quick) report.Note("--quick: too little of everything to be believed.");
  for (const Group& group : kGroups) {
    if (!only.empty() && std::find(only.begin(), only.end(), group.name) == only.end()) continue;
    ProfilerReport::Progress(absl::StrCat(group.name, ": ", group.what));
    group.run(options, report);
  }
  std::printf("%s", report.Table().c_str());
  if (const std::string path = absl::GetFlag(FLAGS_json); !path.empty()) {
    std::ofstream file(path);
    file << report.Json();
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write %s\n", path.c_str());
      return 1;
    }
  }
  return report.AllHold() ? 0 : 1;
}

}  // namespace
}  // namespace curg

int main(int argc, char** argv) {
  curg::ParseCommandLine(argc, argv, curg::Usage());
  return curg::Main();
}
