// SPDX-License-Identifier: Apache-2.0
//
// ModelAtomic: what the explorer puts in the place of std::atomic: each operation is a step, and
// takes effect at once for all. It knows whether it is alive: its memory must outlast it.
#pragma once

#include <atomic>
#include <utility>

#include "tests/runtime/sync/model/explorer.h"
#include "tests/runtime/sync/model/mortal.h"

namespace curg::model {

template <typename T>
class ModelAtomic {
 public:
  constexpr ModelAtomic(T value = T()) : value_(value) {}  // NOLINT: as std::atomic

  T load(std::memory_order) const {
    Touch();
    return value_;
  }
  void store(T value, std::memory_order) {
    Touch();
    value_ = value;
  }
  T exchange(T value, std::memory_order) {
    Touch();
    return std::exchange(value_, value);
  }
  T fetch_or(T bits, std::memory_order) {
    Touch();
    return std::exchange(value_, value_ | bits);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order, std::memory_order) {
    Touch();
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = desired;
    return true;
  }

  // Without a step: for the explorer's own side of an operation that looks and acts at once.
  T Peek() const { return value_; }

 private:
  void Touch() const {
    Step();
    mortal_.Touch();
  }

  T value_;
  Mortal mortal_;
};

}  // namespace curg::model
