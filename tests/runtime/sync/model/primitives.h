// SPDX-License-Identifier: Apache-2.0
//
// The primitives of runtime/sync/primitives.h for a schedule-exploring test: the same contracts, a
// step of the explorer at each operation, and a failure when a contract is broken or a destroyed
// object touched.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "runtime/wait_reason.h"
#include "tests/runtime/sync/model/explorer.h"
#include "tests/runtime/sync/model/mortal.h"

namespace curg::internal {

using model::Mortal;

template <typename T>
class Atomic {
 public:
  constexpr Atomic(T value) : value_(value) {}  // NOLINT: as std::atomic

  T load(std::memory_order) const { return At(); }
  void store(T value, std::memory_order) { Exchange(value, At()); }
  T fetch_or(T bits, std::memory_order) {
    T& value = At();
    return Exchange(value | bits, value);
  }
  T fetch_and(T bits, std::memory_order) {
    T& value = At();
    return Exchange(value & bits, value);
  }
  T fetch_sub(T amount, std::memory_order) {
    T& value = At();
    return Exchange(value - amount, value);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order,
                               std::memory_order = std::memory_order_relaxed) {
    T& value = At();
    if (value != expected) {
      expected = value;
      return false;
    }
    Exchange(desired, value);
    return true;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) {
    return compare_exchange_strong(expected, desired, success, failure);
  }

 private:
  T& At() const {
    model::Step();
    life_.Touch();
    return value_;
  }
  static T Exchange(T desired, T& value) {
    model::Progress();
    return std::exchange(value, desired);
  }

  mutable T value_;
  Mortal life_;
};

inline constexpr size_t kTakenAtOnce = 1;

inline uint32_t Opaque(uint32_t value) { return value; }

inline void SpinLonger(int /*look*/) { model::SpinStep(); }

inline void SpinTurn(int& turns) {
  ++turns;
  model::SpinStep();
}

class SpinLock {
 public:
  void lock() {
    model::Step();
    life_.Touch();
    while (held_) {
      model::SpinStep();
      life_.Touch();
    }
    held_ = true;
    model::Progress();
  }
  void unlock() {
    model::Step();
    life_.Touch();
    model::Expect(held_, "unlocks a spin lock that is free");
    held_ = false;
    model::Progress();
  }

 private:
  bool held_ = false;
  Mortal life_;
};

class Waiter {
 public:
  void Wait(WaitReason, const void*, SpinLock& lock) {
    asleep_ = true;
    lock.unlock();
    model::Sleep(&woken_, false);
  }
  void Wake() {
    model::Step();
    life_.Touch();
    model::Expect(asleep_ && !woken_, "wakes a waiter that does not sleep, or twice");
    woken_ = true;
  }

 private:
  bool asleep_ = false;
  bool woken_ = false;
  Mortal life_;
};

class ClaimWaiter {
 public:
  bool TryClaim() {
    model::Step();
    life_.Touch();
    if (claimed_) return false;
    return claimed_ = true;
  }
  void Wake() {
    model::Step();
    life_.Touch();
    model::Expect(claimed_ && !woken_, "wakes without a claim, or twice");
    woken_ = true;
  }
  bool Wait(WaitReason, const void*, int64_t deadline) {
    const bool has_deadline = deadline != INT64_MAX;
    if (model::Sleep(&woken_, has_deadline)) return true;
    if (TryClaim()) return false;
    model::Sleep(&woken_, false);
    return true;
  }

 private:
  bool claimed_ = false;
  bool woken_ = false;
  Mortal life_;
};

// Long enough between two looks at the clock that the second one finds a long wait.
inline int64_t MonotonicNow() {
  static std::atomic<int64_t> now{0};
  return now += 2'000'000;
}

inline std::string CallerName() { return "model thread " + std::to_string(model::Self()); }
inline const void* CallerToken() {
  static const char tokens[16] = {};
  return &tokens[model::Self()];
}
inline bool OthersMayRun() { return false; }
inline bool NobodyWaitsForWorker() { return true; }
inline uint32_t RandomBelow(uint32_t bound) { return model::Choose(bound); }
[[noreturn]] inline void FatalMisuse(const char* what) {
  model::Expect(false, what);
  __builtin_unreachable();
}

}  // namespace curg::internal
