// SPDX-License-Identifier: Apache-2.0
//
// ModelAtomic: what the explorer puts in the place of std::atomic: each operation is a step, and
// takes effect at once for all.
#pragma once

#include <atomic>
#include <utility>

#include "tests/runtime/sync/model/explorer.h"

namespace curg::model {

template <typename T>
class ModelAtomic {
 public:
  constexpr ModelAtomic(T value = T()) : value_(value) {}  // NOLINT: as std::atomic

  T load(std::memory_order) const {
    Step();
    return value_;
  }
  void store(T value, std::memory_order) {
    Step();
    value_ = value;
  }
  T exchange(T value, std::memory_order) {
    Step();
    return std::exchange(value_, value);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order, std::memory_order) {
    Step();
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = desired;
    return true;
  }

 private:
  T value_;
};

}  // namespace curg::model
