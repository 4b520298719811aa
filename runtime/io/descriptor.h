// SPDX-License-Identifier: Apache-2.0
//
// Descriptor: one file descriptor in the poller, and who waits until it can be read or written.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/spin_lock.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_reason.h"
#include "runtime/wait_status.h"

namespace curg::internal {

// Edge-triggered: the kernel tells of each change once, and it is kept here until somebody has used
// it.
//
//   reader   try the call ; EAGAIN, or less than asked: Wait ; try again
//   poller   event: OnEvents -> kReady, or whoever waits is woken
//
// Each way is one word: nothing, kReady, a task that waits, or a ClaimWaiter. A task without limits
// is there itself, so that the poller need not touch its stack, which is in nobody's cache by then:
// with a little more fetching ahead that is 1 % of the server's CPU time in an echo over 1000
// connections, and nothing over 100 (median of six pairs).
//
// Invariant  A change that comes after the reader's call finds the waiter, or leaves kReady for its
//            Wait: none is lost, and at worst one call is made in vain.
// Memory     is never anything else (DescriptorPool): an event that comes late, for a descriptor
//            closed meanwhile, is a call in vain for the next owner.
class alignas(64) Descriptor {
 public:
  enum class Way : uint8_t { kRead, kWrite };

  // Waits until something may have changed in this way since the last Wait. One task at a time for
  // each way; a second one is a bug, and aborts. Blocks: the task or the plain thread.
  WaitStatus Wait(Way way, const WaitLimits& limits);

  // Somebody taken out, who must be woken; or nobody.
  class Taken {
   public:
    Taken() = default;
    explicit Taken(uintptr_t word) : word_(word) {}
    explicit operator bool() const { return word_ != 0; }

    // For who is going to call Wake, for many: fetches what that needs into the cache.
    void FetchAhead() const {
      const char* const at = reinterpret_cast<const char*>(word_ & ~kClaimed);
      __builtin_prefetch(at, /*rw=*/1);
      __builtin_prefetch(at + 64, /*rw=*/1);  // a Task's second cache line
    }
    // Once. Blocks: nothing.
    void Wake() const;

   private:
    uintptr_t word_ = 0;
  };

  // Takes those who wait for what `events` (EPOLLIN, ...) are about.
  struct Woken {
    Taken reader;
    Taken writer;
  };
  // Thread-safe. Blocks: nothing.
  Woken OnEvents(uint32_t events);

  // The other side has ended, or the connection has failed: nothing more will change, so a read
  // that gives less than asked does not mean that the next one has to wait.
  // relaxed: `ready` is set with it
  bool ended() const { return ended_.load(std::memory_order_relaxed); }

  // Whether anybody waits. Thread-safe; true while in doubt.
  bool HasWaiter();

 private:
  friend class DescriptorPool;

  static constexpr uintptr_t kReady = 1;    // something has changed since the last Wait
  static constexpr uintptr_t kClaimed = 2;  // beside a pointer: it is a ClaimWaiter, not a Task

  WaitStatus WaitLimited(uintptr_t& side, WaitReason reason, const WaitLimits& limits);
  void Reset();
  static Taken MarkReady(uintptr_t& side);

  SpinLock lock_;
  uintptr_t sides_[2] = {};  // guarded by lock_
  std::atomic<bool> ended_{false};
  Descriptor* next_free_ = nullptr;
};

// Where descriptors come from and go back to; their memory stays until the pool ends.
// Thread-safe. Blocks: nothing.
class DescriptorPool {
 public:
  DescriptorPool() = default;
  ~DescriptorPool();
  DescriptorPool(const DescriptorPool&) = delete;
  DescriptorPool& operator=(const DescriptorPool&) = delete;

  Descriptor* Take();  // null: no memory
  void Return(Descriptor* descriptor);
  bool AnyWaiter();

 private:
  static constexpr size_t kBlock = 64;

  SpinLock lock_;
  std::vector<Descriptor*> blocks_;  // guarded by lock_
  Descriptor* free_ = nullptr;       // guarded by lock_
};

}  // namespace curg::internal
