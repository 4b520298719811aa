// SPDX-License-Identifier: Apache-2.0
//
// A program of another project that runs tasks and, given a path, profiles them into that file.

#include <cstdio>
#include <optional>
#include <vector>

#include "curg/export/pprof.h"
#include "curg/labels/labels.h"
#include "curg/runtime/go.h"

namespace consumer {

// noinline: the tests look for its name and line in the optimised program.
[[gnu::noinline]] void Greet(int tasks) { std::printf("hello from %d tasks\n", tasks); }

int Main() {
  curg::ScopedLabels labels({{"phase", "greet"}});
  std::vector<curg::JoinHandle<int>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(curg::Go([] { return 1; }));
  int sum = 0;
  for (curg::JoinHandle<int>& task : tasks) sum += task.Join();
  Greet(sum);
  return 0;
}

}  // namespace consumer

int main(int argc, char** argv) {
  std::optional<curg::CpuProfileToFile> profile;
  if (argc > 1) profile = curg::CpuProfileToFile::Start(argv[1]).value();
  return curg::Run(consumer::Main);
}
