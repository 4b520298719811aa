// SPDX-License-Identifier: Apache-2.0
//
// A program of another project that uses curg through its public headers.

#include <cstdio>
#include <vector>

#include "curg/runtime/go.h"

namespace consumer {

// noinline: the tests look for its name and line in the optimised program.
[[gnu::noinline]] void Greet(int tasks) { std::printf("hello from %d tasks\n", tasks); }

int Main() {
  std::vector<curg::JoinHandle<int>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(curg::Go([] { return 1; }));
  int sum = 0;
  for (curg::JoinHandle<int>& task : tasks) sum += task.Join();
  Greet(sum);
  return 0;
}

}  // namespace consumer

int main() { return curg::Run(consumer::Main); }
