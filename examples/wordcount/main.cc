// SPDX-License-Identifier: Apache-2.0
//
// wordcount: counts the words in all text files below directories, one task a file, and shows where
// its CPU time went, by its own profile.
//
//   ./bazelw run -c opt //examples:wordcount                     /usr/include and /usr/share/doc
//   ./bazelw run -c opt //examples:wordcount -- --repeat=5 ~/src
//   ./bazelw run -c opt //examples:wordcount -- --help
//
// You will see the most frequent words, CPU time by the labels `phase` and `ext`, the functions
// that took most of it, and the command that opens the profile it wrote. count.cc has the tasks.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "examples/wordcount/check.h"
#include "examples/wordcount/count.h"
#include "examples/wordcount/phase.h"
#include "examples/wordcount/progress.h"
#include "examples/wordcount/report.h"
#include "export/command_line.h"
#include "export/pprof.h"
#include "export/symbolize.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"

ABSL_FLAG(int, repeat, 1, "count everything this many times, for a longer profile");
ABSL_FLAG(absl::Duration, min_cpu, absl::ZeroDuration(),
          "repeat until this much CPU time has been used, such as 10s");
ABSL_FLAG(absl::optional<int>, workers, absl::nullopt,
          "threads that run tasks; by default CURG_WORKERS, or as many as there are CPUs");
ABSL_FLAG(int, in_flight, 256, "files being counted at a time");
ABSL_FLAG(int, top, 20, "how many of the most frequent words to print");
ABSL_FLAG(
    std::string, cpu_profile, "cpu.pb.gz",
    "where to write the CPU profile; nowhere if empty. A relative path is below the directory "
    "that wordcount, or `bazel run`, is called in");
ABSL_FLAG(int, profile_hz, 100, "samples for each second of CPU time");
ABSL_FLAG(bool, check, false,
          "compare the profile with the kernel's clocks; exit status 2 if they disagree");

namespace wordcount {
namespace {

constexpr char kUsage[] =
    "Counts the words in all text files below the directories given (by default /usr/include and\n"
    "/usr/share/doc), one task a file, and shows where its CPU time went.\n"
    "\n"
    "Usage: wordcount [FLAG...] [DIRECTORY|FILE...]\n"
    "\n"
    "A word is a run of letters (UTF-8), digits and '_', without regard to the case of ASCII\n"
    "letters. Files with a NUL byte are binary and not counted. Links are followed; nothing is\n"
    "counted twice. What cannot be read is counted as such.\n"
    "\n"
    "Exit status: 0 done; 1 bad usage, or profile or output cannot be written; 2 --check failed.";

constexpr int kFailed = 1;
constexpr int kCheckFailed = 2;

int Fail(const std::string& message) {
  std::fprintf(stderr, "wordcount: %s\n", message.c_str());
  return kFailed;
}

std::string FlagError() {
  if (absl::GetFlag(FLAGS_repeat) < 1) return "--repeat must be at least 1";
  if (absl::GetFlag(FLAGS_in_flight) < 1) return "--in_flight must be at least 1";
  if (absl::GetFlag(FLAGS_top) < 0) return "--top must not be negative";
  if (absl::GetFlag(FLAGS_min_cpu) == absl::InfiniteDuration()) return "--min_cpu must be finite";
  return "";
}

// User and system CPU time of this process so far.
absl::Duration CpuTime() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

// Counts as often as the flags say; each time gives the same.
Totals Count(curg::Runtime& runtime, std::vector<std::string> roots) {
  const CountOptions options = {.roots = std::move(roots),
                                .top = absl::GetFlag(FLAGS_top),
                                .in_flight = absl::GetFlag(FLAGS_in_flight),
                                .mergers = (runtime.workers() + 3) / 4};
  const absl::Duration cpu_end = CpuTime() + absl::GetFlag(FLAGS_min_cpu);
  Progress progress;
  Totals totals;
  for (int i = 0; i < absl::GetFlag(FLAGS_repeat) || CpuTime() < cpu_end; ++i) {
    totals = runtime.Run([&] { return CountBelow(options, progress); });
  }
  return totals;
}

// False, with a message, when standard output takes no more; but a reader that has seen enough
// (`wordcount | head`) is no failure.
bool Print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if ((written && std::fflush(stdout) == 0) || errno == EPIPE) return true;
  std::perror("wordcount: cannot write to standard output");
  return false;
}

int Main(std::vector<std::string> roots) {
  if (const std::string error = FlagError(); !error.empty()) return Fail(error);
  if (roots.empty()) roots = {"/usr/include", "/usr/share/doc"};

  const std::string path = absl::GetFlag(FLAGS_cpu_profile);
  std::optional<curg::PprofFile> file;
  if (!path.empty()) {
    absl::StatusOr<curg::PprofFile> opened = curg::PprofFile::Open(path);
    if (!opened.ok()) {
      return Fail(absl::StrCat("cannot write the CPU profile: ", opened.status().message(),
                               "; --cpu_profile=PATH says where else"));
    }
    file = *std::move(opened);
  }
  curg::RuntimeOptions options;
  if (const auto workers = absl::GetFlag(FLAGS_workers)) options.workers = *workers;
  auto runtime = curg::Runtime::Create(options);
  if (!runtime.ok()) return Fail(std::string(runtime.status().message()));

  if (absl::GetFlag(FLAGS_check)) MeasurePhases();
  auto session = curg::StartCpuProfile({.rate_hz = absl::GetFlag(FLAGS_profile_hz)});
  if (!session.ok()) return Fail(std::string(session.status().message()));
  const Totals totals = Count(**runtime, std::move(roots));
  const curg::CpuProfile profile = session->Stop();

  curg::Symbolizer symbolizer(profile.mappings);
  int result = 0;
  absl::Status written;
  if (file.has_value()) written = file->Write(profile, symbolizer);

  std::string out = absl::StrCat(WordReport(totals), "\n", CpuReport(profile, symbolizer), "\n");
  if (absl::GetFlag(FLAGS_check)) {
    const CheckResult check = CheckProfile(profile, MeasuredPhases());
    absl::StrAppend(&out, check.table, "\n");
    if (!check.holds) result = kCheckFailed;
  }
  if (file.has_value() && written.ok()) {
    absl::StrAppend(&out, "CPU profile: ", path,
                    "\nOpen it:     go tool pprof -http=: ", ShellQuote(path), "\n");
  }
  if (!Print(out)) result = kFailed;
  if (!written.ok()) return Fail(std::string(written.message()));
  return result;
}

}  // namespace
}  // namespace wordcount

int main(int argc, char** argv) {
  const std::vector<char*> arguments = curg::ParseCommandLine(argc, argv, wordcount::kUsage);

  // `bazel run` starts programs elsewhere; directories are meant where it was called. (Profiles are
  // written there anyway.)
  const char* const directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) std::perror(directory);
  signal(SIGPIPE, SIG_IGN);  // `wordcount | head` still writes its profile
  return wordcount::Main({arguments.begin() + 1, arguments.end()});
}
