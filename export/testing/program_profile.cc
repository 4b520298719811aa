// SPDX-License-Identifier: Apache-2.0
#include "export/testing/program_profile.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "export/pprof.h"
#include "export/task_dump.h"
#include "export/task_pprof.h"
#include "export/testing/end_watch.h"
#include "export/testing/test_outputs.h"
#include "profiler/task_profiler.h"

namespace curg::internal {
namespace {

constexpr std::string_view kFlag = "--cpu_profile";
// Set for the programs that a test starts, itself again among them: only the test is profiled.
constexpr char kProfiled[] = "CURG_TEST_IS_PROFILED";

struct Running {
  std::mutex lock;
  std::optional<CpuProfileToFile> cpu;  // guarded by lock; none: written already
  std::optional<BazelTest> test;
  pid_t process = 0;
};

// Never destroyed: it is used while the program ends.
Running& TheRunning() {
  static Running* const running = new Running;
  return *running;
}

void Complain(const char* what, const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "curg: no %s: %s\n", what, status.ToString().c_str());
}

// Writes what there is to be written, the first time; later calls do nothing. `signal`: what ends
// the program, or 0.
void Finish(int signal) {
  Running& running = TheRunning();
  if (running.process != getpid()) return;  // a forked child that calls exit
  const std::lock_guard lock(running.lock);
  std::optional<CpuProfileToFile> cpu = std::exchange(running.cpu, std::nullopt);
  if (!cpu.has_value()) return;
  if (running.test.has_value() && signal == SIGTERM) {
    DumpTasksOfTest(running.test->outputs);  // first: whoever terminates us may lose patience
  }
  Complain("CPU profile", cpu->Stop());
  if (running.test.has_value() && signal == 0) {
    Complain("task profile", WriteTaskPprof(CollectTaskProfile({.each_task = false}),
                                            TestOutputPath(*running.test, "tasks", ".pb.gz")));
  }
}

absl::Status Start(const std::string& path, const std::string& holder) {
  absl::StatusOr<CpuProfileToFile> cpu = CpuProfileToFile::Start(path, {.holder = holder});
  if (!cpu.ok()) return cpu.status();
  Running& running = TheRunning();
  running.cpu = *std::move(cpu);
  running.process = getpid();
  std::atexit([] { Finish(/*signal=*/0); });
  WatchForEnd(Finish);
  return absl::OkStatus();
}

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): before main
}

// Takes every --cpu_profile=PATH out of the arguments; the last one counts.
std::optional<std::string> TakeFlag(int* argc, char** argv) {
  std::optional<std::string> path;
  int kept = 0;
  for (int i = 0; i < *argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == kFlag || argument == "--cpu_profile=") {
      Fail("--cpu_profile needs a path, as in --cpu_profile=cpu.pb.gz");
    }
    if (argument.starts_with(kFlag) && argument[kFlag.size()] == '=') {
      path = std::string(argument.substr(kFlag.size() + 1));
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  argv[kept] = nullptr;
  return path;
}

void StartTest(const BazelTest& test) {
  setenv(kProfiled, "1", 1);  // NOLINT(concurrency-mt-unsafe): before main
  TheRunning().test = test;
  if (const absl::Status status =
          Start(TestOutputPath(test, "cpu", ".pb.gz"), "the test's own profile");
      !status.ok()) {
    std::fprintf(stderr, "curg: this test is not profiled: %s\n", status.ToString().c_str());
  }
}

const char* Environment(const char* name) { return getenv(name); }  // NOLINT(concurrency-mt-unsafe)

}  // namespace

void StartProgramProfile(int* argc, char** argv) {
  if (const std::optional<std::string> path = TakeFlag(argc, argv)) {
    if (const absl::Status status = Start(*path, "--cpu_profile"); !status.ok()) {
      Fail("--cpu_profile=" + *path + ": " + std::string(status.message()));
    }
  } else if (Environment(kProfiled) == nullptr) {
    if (const std::optional<BazelTest> test = BazelTestFrom(Environment)) StartTest(*test);
  }
}

}  // namespace curg::internal
