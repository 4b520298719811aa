// SPDX-License-Identifier: Apache-2.0
//
// Eventually: waits for what others are about to do.
#pragma once

#include <chrono>
#include <thread>

namespace curg {

// Looks every millisecond whether `condition` holds. False: not within ten seconds.
// Blocks: the thread, also of a task.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace curg
