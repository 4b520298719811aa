// SPDX-License-Identifier: Apache-2.0
//
// Eventually: waits for what others are about to do.
#pragma once

#include <chrono>
#include <thread>

namespace curg {

// Looks every millisecond whether `condition` holds. False: not at any of so many looks; the time
// that they take is longer on a machine that lets nobody run.
// Blocks: the thread, also of a task.
template <typename Condition>
bool Eventually(Condition condition, int looks_max = 30'000) {
  for (int looks = 1; !condition(); ++looks) {
    if (looks == looks_max) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace curg
