// SPDX-License-Identifier: Apache-2.0
//
// ModelLock: what the explorer puts in the place of a spin lock or a std::mutex. Sources of the
// structures that these guard are compiled with CURG_MODEL_LOCK naming this header.
#pragma once

#include "tests/runtime/sync/model/explorer.h"

namespace curg::model {

// Lockable. Each operation is a step; outside of an exploration it only counts.
class ModelLock {
 public:
  void lock() {
    Step();
    while (held_) SpinStep();
    held_ = true;
  }
  bool try_lock() {
    Step();
    return !held_ && (held_ = true);
  }
  void unlock() {
    Step();
    held_ = false;
    Progress();
  }

 private:
  bool held_ = false;
};

}  // namespace curg::model
