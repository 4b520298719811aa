// SPDX-License-Identifier: Apache-2.0
//
// Other profilers on the same work, in the same run: gperftools' libprofiler, and Go's. They are
// built here and now from peers/profilers: nothing else needs their libraries and compilers.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "profiler/cpu_profiler.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

constexpr int kThreads = 4;

struct Figures {
  double accounted = -1;
  double overhead = 0;
};

// What a peer printed.
Figures Parse(const std::string& out) {
  Figures figures;
  for (const auto line : absl::StrSplit(out, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() != 2) continue;
    double value = 0;
    if (!absl::SimpleAtod(words[1], &value)) continue;
    if (words[0] == "accounted") figures.accounted = value;
    if (words[0] == "overhead") figures.overhead = value;
  }
  return figures;
}

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// curg on the work that the peers do: threads that it does not know.
double Accounted(int rate_hz) {
  CpuProfileSession session = StartCpuProfile({.rate_hz = rate_hz}).value();
  std::vector<std::thread> busy;
  for (int i = 0; i < kThreads; ++i) {
    busy.emplace_back([] {
      volatile uint64_t sink = 1;
      while (Seconds(CLOCK_THREAD_CPUTIME_ID) < 1.5) {
        for (int n = 0; n < 20'000; ++n) sink = sink * 3 + 1;
      }
    });
  }
  for (std::thread& thread : busy) thread.join();
  const CpuProfile profile = session.Stop();
  double credited = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    credited += static_cast<double>(entry.weight) * 1e-9;
  }
  return credited / absl::ToDoubleSeconds(profile.quality.cpu_time);
}

void Report(const char* name, int rate_hz, const Figures& figures, ProfilerReport& report) {
  report.Add(absl::StrCat("CPU accounted, ", kThreads, " threads, ", rate_hz, " Hz: ", name),
             figures.accounted, "", Bound::None());
  report.Add(absl::StrCat("512x512 overhead at ", rate_hz, " Hz: ", name), figures.overhead, "%",
             Bound::None());
}

const char* FindGo() {
  for (const char* path : {"/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/usr/bin/go"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return nullptr;
}

constexpr int kRates[] = {100, 1000};

void MeasureGperftools(const std::string& directory, const std::string& pairs,
                       ProfilerReport& report) {
  const std::string binary = directory + "/gperftools";
  const ProgramResult built =
      RunProgram({"/usr/bin/g++", "-std=c++20", "-O2", "-I.", "-o", binary,
                  "tests/benchmark/peers/profilers/gperftools.cc", "-lprofiler", "-lpthread"});
  if (built.status != 0) {
    return report.AddMissing("gperftools", "", Bound::None(),
                             "needs g++ and libgoogle-perftools-dev");
  }
  for (const int rate : kRates) {
    const ProgramResult run =
        RunProgram({binary, absl::StrCat(kThreads), directory + "/profile", pairs},
                   {.environment = {absl::StrCat("CPUPROFILE_FREQUENCY=", rate)}});
    Report("gperftools", rate, Parse(run.out), report);
  }
}

void MeasureGo(const std::string& directory, const std::string& pairs, ProfilerReport& report) {
  const char* const go = FindGo();
  const std::string binary = directory + "/go";
  const ProgramResult built =
      go == nullptr
          ? ProgramResult()
          : RunProgram({go, "build", "-o", binary, "."},
                       {.environment = {"GOCACHE=" + directory + "/cache",
                                        "GOFLAGS=", "HOME=" + directory, "GOTOOLCHAIN=local"},
                        .directory = "tests/benchmark/peers/profilers/go"});
  if (built.status != 0) return report.AddMissing("Go", "", Bound::None(), "needs Go");
  for (const int rate : kRates) {
    const ProgramResult run =
        RunProgram({binary, absl::StrCat(kThreads), absl::StrCat(rate), pairs});
    Report("Go", rate, Parse(run.out), report);
  }
}

}  // namespace

void MeasurePeers(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  const std::string directory = NewDirectory();
  const std::string pairs = options.quick ? "10" : "60";
  for (const int rate : kRates) {
    report.Add(absl::StrCat("CPU accounted, ", kThreads, " threads, ", rate, " Hz: curg"),
               Accounted(rate), "", Bound::Between(0.98, 1.01));
  }
  MeasureGperftools(directory, pairs, report);
  MeasureGo(directory, pairs, report);
  (void)RunProgram({"/bin/rm", "-rf", directory});
}

}  // namespace curg
