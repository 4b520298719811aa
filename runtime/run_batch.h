// SPDX-License-Identifier: Apache-2.0
//
// RunBatch: what a processor is about to run: the task that goes first, and the next few of its run
// queue, taken out of it together. So most tasks cost their worker no atomic read-modify-write (6
// to 15 ns), and their memory can be fetched ahead.
//
// Layout     run_next_: the task just made runnable here, with its data still warm; or null.
//            slots_[next_] .. slots_[count_), first in, first out.
// Ownership  all of it belongs to the owner while busy_ is set, and to a thief while it holds lock_
//            with frozen_ set. The owner sets busy_ without asking; so a thief sets frozen_, makes
//            all threads fence, and waits for busy_ to be clear: from then on the owner, who looks
//            at frozen_ after setting busy_, goes through the lock.
// Ordering   owner: busy_ = 1 ; LightFence ; frozen_ ?      thief: frozen_ = 1 ; HeavyFence ; busy_
//            ? busy_: release at its end, acquire by the thief (what the owner changed). frozen_:
//            release at its end, acquire by the owner (what the thief changed).
// Rejected   an exchange for each task: 6 ns, a third of what a yield takes; a batch nobody can
//            steal: a task would wait behind a held one though others are idle.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

#include "runtime/asymmetric_fence.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

// What it is made of. A test that goes through schedules puts its own in their place.
struct RunBatchPrimitives {
  template <typename T>
  using Atomic = std::atomic<T>;
  using Lock = SpinLock;
  static void LightFence() { internal::LightFence(); }
  static void HeavyFence() { internal::HeavyFence(); }
  static void Pause() { __builtin_ia32_pause(); }
};

template <typename T, typename Primitives = RunBatchPrimitives>
class RunBatch {
 public:
  static constexpr uint32_t kSize = 8;          // of the next few
  static constexpr uint32_t kMost = kSize + 1;  // with the one that goes first

  // Makes `task` (or null) go first, and returns the one that was to. Owner only.
  T* ExchangeNext(T* task) {
    return Owned([this, task] {
      T* const was = run_next_.load(std::memory_order_relaxed);
      run_next_.store(task, std::memory_order_relaxed);
      return was;
    });
  }

  // The first of the next few, or null. Owner only.
  T* Pop() {
    if (Empty()) return nullptr;
    return Owned([this] { return Take(); });
  }

  // Fills the empty batch with up to kSize tasks. Owner only.
  void Fill(std::span<T* const> tasks) {
    // A thief that is in Steal finds it empty, or full: `count_` publishes the slots.
    for (size_t i = 0; i < tasks.size(); ++i) {
      slots_[i].store(tasks[i], std::memory_order_release);  // release: pairs with Steal()
    }
    Owned([this, &tasks] {
      next_.store(0, std::memory_order_relaxed);
      count_.store(static_cast<uint32_t>(tasks.size()), std::memory_order_relaxed);
      return nullptr;
    });
  }

  // The task that goes first, or null: a hint. Thread-safe.
  T* next() const { return run_next_.load(std::memory_order_relaxed); }

  // Moves all tasks into `out`, the one that goes first before the others; returns how many. Rare:
  // it interrupts every thread of the process.
  // Thread-safe. May run in parallel with everything.
  size_t Steal(std::span<T*, kMost> out) {
    std::lock_guard lock(lock_);
    frozen_.store(true, std::memory_order_relaxed);  // relaxed: HeavyFence orders it
    Primitives::HeavyFence();
    while (busy_.load(std::memory_order_acquire)) Primitives::Pause();  // acquire: pairs with Pop()
    size_t stolen = 0;
    if (T* task = run_next_.load(std::memory_order_relaxed)) {
      run_next_.store(nullptr, std::memory_order_relaxed);
      out[stolen++] = task;
    }
    while (T* task = Take()) out[stolen++] = task;
    frozen_.store(false, std::memory_order_release);  // release: pairs with the owner's load
    return stolen;
  }

  // A hint for others than the owner. Thread-safe.
  uint32_t Size() const {
    const uint32_t next = next_.load(std::memory_order_relaxed);
    const uint32_t count = count_.load(std::memory_order_relaxed);
    return count > next ? count - next : 0;
  }

  // A hint for others than the owner. Thread-safe.
  bool Empty() const {
    return next_.load(std::memory_order_relaxed) == count_.load(std::memory_order_relaxed);
  }

 private:
  // Runs `body` on what the owner owns.
  template <typename Body>
  [[gnu::always_inline]] T* Owned(Body body) {
    busy_.store(true, std::memory_order_relaxed);  // relaxed: LightFence orders it before the load
    Primitives::LightFence();
    if (frozen_.load(std::memory_order_acquire)) [[unlikely]] {  // acquire: pairs with Steal()
      busy_.store(false, std::memory_order_release);
      std::lock_guard lock(lock_);
      return body();
    }
    T* const task = body();
    busy_.store(false, std::memory_order_release);  // release: pairs with Steal()
    return task;
  }

  T* Take() {
    const uint32_t next = next_.load(std::memory_order_relaxed);
    if (next == count_.load(std::memory_order_relaxed)) return nullptr;
    next_.store(next + 1, std::memory_order_relaxed);
    return slots_[next].load(std::memory_order_acquire);  // acquire: pairs with Fill()
  }

  template <typename Value>
  using Atomic = typename Primitives::template Atomic<Value>;

  // The owner's cache line.
  Atomic<bool> busy_{false};
  Atomic<bool> frozen_{false};
  Atomic<uint32_t> next_{0};
  Atomic<uint32_t> count_{0};
  Atomic<T*> run_next_{nullptr};
  std::array<Atomic<T*>, kSize> slots_{};

  typename Primitives::Lock lock_;
};

}  // namespace curg::internal
