// SPDX-License-Identifier: Apache-2.0
//
// The same with the target of one part, and its header's path within curg.

#include <cstdio>

#include "runtime/go.h"

int main() {
  return curg::Run([] {
    curg::JoinHandle<int> first = curg::Go([] { return 1; });
    curg::JoinHandle<int> others = curg::Go([] { return 3; });
    std::printf("hello from %d tasks\n", first.Join() + others.Join());
    return 0;
  });
}
