// SPDX-License-Identifier: Apache-2.0
//
// A task group: tasks that end before the scope does, a first error that stops the others, a
// deadline.
//
//   ./bazelw run -c opt //examples:task_group
//
// You will see that all parts of a sum were added, that one broken search stops the others at once
// instead of in an hour, and that a group which takes too long is cancelled.

#include <array>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <stop_token>

#include "export/command_line.h"
#include "runtime/go.h"
#include "runtime/task_group.h"

namespace {

using namespace std::chrono_literals;

// Children may refer to the scope's variables: they end before it does.
void AddParts() {
  std::array<long, 4> parts = {};
  curg::TaskGroup group;
  for (long part = 0; part < 4; ++part) {
    group.Go([&parts, part] {
      for (long n = 1; n <= 250'000; ++n) parts[part] += part * 250'000 + n;
    });
  }
  group.Wait();
  std::printf("the sum is %ld\n", std::accumulate(parts.begin(), parts.end(), 0L));
}

// The first exception asks the siblings to stop, and is rethrown when all have ended.
void StopAtFirstError() {
  std::array<bool, 3> stopped = {};
  curg::TaskGroup group;
  for (bool& mine : stopped) {
    group.Go([&mine](std::stop_token stop) { mine = !curg::SleepFor(1h, stop); });
  }
  group.Go([] { throw std::runtime_error("the disk is on fire"); });
  try {
    group.Wait();
  } catch (const std::runtime_error& error) {
    std::printf("%s; %d searches were stopped\n", error.what(),
                stopped[0] + stopped[1] + stopped[2]);
  }
}

void GiveUp() {
  curg::TaskGroup group;
  group.Go([](std::stop_token stop) { curg::SleepFor(1h, stop); });
  if (group.WaitFor(20ms) == curg::WaitStatus::kTimeout) {
    std::printf("too slow, cancelled\n");
    group.Cancel();
  }
  group.Wait();
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "Tasks that end before a scope does; a first error stops the others; a deadline.");
  curg::Run([] {
    AddParts();
    StopAtFirstError();
    GiveUp();
  });
}
