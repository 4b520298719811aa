// SPDX-License-Identifier: Apache-2.0
//
// A CPU profile of labelled tasks, and the three commands that read it.
//
//   ./bazelw run -c opt //examples:cpu_profile                          writes cpu.pb.gz
//   ./bazelw run -c opt //examples:cpu_profile -- PATH [LARGEST]        for longer
//
// You will see that SumOfDivisors leads in `-top`, that `-tags` gives three quarters of the time to
// tenant=acme, whatever worker its tasks ran on, and that `-peek` shows who called it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "export/command_line.h"
#include "export/pprof.h"
#include "labels/labels.h"
#include "runtime/go.h"

// noinline: so that each has a frame of its own.
[[gnu::noinline]] uint64_t SumOfDivisors(uint64_t number) {
  uint64_t sum = 0;
  for (uint64_t i = 1; i * i <= number; ++i) {
    if (number % i == 0) sum += i == number / i ? i : i + number / i;
  }
  return sum;
}

[[gnu::noinline]] int CountPerfectNumbers(uint64_t begin, uint64_t end) {
  int count = 0;
  for (uint64_t number = begin; number < end; ++number) {
    count += SumOfDivisors(number) == 2 * number;
    if (number % 1000 == 0) curg::Yield();  // others go on, here or on another worker
  }
  return count;
}

int Main(const std::string& path, uint64_t largest) {
  absl::StatusOr<curg::CpuProfileToFile> profile = curg::CpuProfileToFile::Start(path);
  if (!profile.ok()) {
    std::fprintf(stderr, "%s\n", profile.status().ToString().c_str());
    return 1;
  }
  std::vector<curg::JoinHandle<int>> tasks;
  for (int i = 0; i < 8; ++i) {
    const char* const tenant = i % 4 == 3 ? "initech" : "acme";
    tasks.push_back(curg::Go({.tag = curg::Labels::Of({{"tenant", tenant}})},
                             [largest] { return CountPerfectNumbers(2, largest); }));
  }
  for (curg::JoinHandle<int>& task : tasks) {
    std::printf("%d perfect numbers\n", task.Join());
  }
  if (const absl::Status status = profile->Stop(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  std::printf("go tool pprof -top %s\n", path.c_str());
  std::printf("go tool pprof -tags %s\n", path.c_str());
  std::printf("go tool pprof -peek=SumOfDivisors %s\n", path.c_str());
  return 0;
}

int main(int argc, char** argv) {
  const std::vector<char*> arguments = curg::ParseCommandLine(
      argc, argv,
      "Looks for perfect numbers in labelled tasks, and profiles them.\n\n"
      "  cpu_profile [FILE [LARGEST]]     writes FILE (cpu.pb.gz), up to LARGEST (300000)");
  const std::string path = arguments.size() > 1 ? arguments[1] : "cpu.pb.gz";
  const uint64_t largest =
      arguments.size() > 2 ? std::strtoull(arguments[2], nullptr, 10) : 300'000;
  return curg::Run([&] { return Main(path, largest); });
}
