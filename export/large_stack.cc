// SPDX-License-Identifier: Apache-2.0
#include "export/large_stack.h"

#include <thread>

#include "runtime/go.h"

namespace curg::internal {

void OnLargeStack(absl::FunctionRef<void()> fn) {
  if (CurrentTaskId() == 0) return fn();
  std::thread([fn] { fn(); }).join();
}

}  // namespace curg::internal
