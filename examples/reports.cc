// SPDX-License-Identifier: Apache-2.0
//
// What the runtime reports by itself, in words.
//
//   ./bazelw run -c opt //examples:reports -- overflow
//   ./bazelw run -c opt //examples:reports -- long_slice
//   ./bazelw run -c opt //examples:reports -- deadlock
//
// You will see on standard error, of a task "parser" with labels: that it has overflowed its stack,
// and the recursion that did it; or that it has kept its worker for 30 ms or so, and the loop it is
// in; or that it and all others wait for ever, each with its place and its reason. The first dies
// of a segmentation fault, the last exits with status 2.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include "export/command_line.h"
#include "export/reports.h"
#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace {

volatile int g_depth = 0;

// Goes down as long as the text is one parenthesis in the other: much too deep.
__attribute__((noinline)) int Parse(int level) {
  volatile char scratch[100];
  scratch[0] = static_cast<char>(level);
  g_depth = level;
  if (level == 1'000'000'000) return 0;
  return Parse(level + 1) + scratch[0];
}

// Longer than a task should compute without a Yield().
__attribute__((noinline)) void Index() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (std::chrono::steady_clock::now() < end) g_depth = g_depth + 1;
}

// Each waits for what the other would send afterwards.
void Exchange(curg::Channel<int>& theirs, curg::Channel<int>& ours) {
  theirs.Receive();
  ours.Send(1);
}

int StartParser(std::string_view what) {
  const curg::Labels labels = curg::Labels::Of({{"document", "readme"}});
  curg::Channel<int> left;
  curg::Channel<int> right;
  auto parser = curg::Go({.name = "parser", .tag = labels}, [&] {
    if (what == "overflow") g_depth = Parse(0);
    if (what == "long_slice") Index();
    if (what == "deadlock") Exchange(left, right);
  });
  if (what == "deadlock") Exchange(right, left);
  parser.Join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<char*> arguments = curg::ParseCommandLine(
      argc, argv,
      "What the runtime reports by itself, on standard error.\n\n"
      "  reports overflow       a stack overflow, then dies of it\n"
      "  reports long_slice     a task that keeps its worker\n"
      "  reports deadlock       tasks that wait for ever, then exits with status 2");
  if (arguments.size() != 2) {
    std::fprintf(stderr, "usage: reports overflow|long_slice|deadlock; --help says more\n");
    return 1;
  }
  curg::InstallReports();
  return curg::Run([what = std::string_view(arguments[1])] { return StartParser(what); });
}
