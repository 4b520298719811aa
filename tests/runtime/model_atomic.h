// SPDX-License-Identifier: Apache-2.0
//
// ModelAtomic: what the explorer puts in the place of std::atomic: each operation is a step, and
// takes effect at once for all. It knows whether it is alive: its memory must outlast it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "tests/runtime/sync/model/explorer.h"

namespace curg::model {

template <typename T>
class ModelAtomic {
 public:
  constexpr ModelAtomic(T value = T()) : value_(value) {}  // NOLINT: as std::atomic

  ModelAtomic(const ModelAtomic&) = delete;
  ModelAtomic& operator=(const ModelAtomic&) = delete;
  ~ModelAtomic() { alive_ = 0; }

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
  static constexpr uint32_t kAlive = 0x600DF00D;

  void Touch() const {
    Step();
    Expect(alive_ == kAlive, "touches a destroyed object");
  }

  T value_;
  volatile uint32_t alive_ = kAlive;  // volatile: looked at after its end on purpose
};

}  // namespace curg::model
