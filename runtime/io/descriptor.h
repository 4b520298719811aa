// SPDX-License-Identifier: Apache-2.0
//
// Descriptor: one file descriptor in the poller, and who waits until it can be read or written.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/claim_waiter.h"
#include "runtime/spin_lock.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_reason.h"
#include "runtime/wait_status.h"

namespace curg::internal {

// Edge-triggered: the kernel tells of each change once, and it is kept here until somebody has used
// it.
//
//   reader   try the call ; EAGAIN, or less than asked: Wait ; try again
//   poller   event: OnEvents -> `ready`, or whoever waits is woken
//
// Invariant  `ready` and `waiter` are never both set. A change that comes after the reader's call
//            finds the waiter, or leaves `ready` for its Wait: none is lost, and at worst one call
//            is made in vain.
// Memory     is never anything else (DescriptorPool): an event that comes late, for a descriptor
//            closed meanwhile, is a call in vain for the next owner.
class alignas(64) Descriptor {
 public:
  enum class Way : uint8_t { kRead, kWrite };

  // Waits until something may have changed in this way since the last Wait. One task at a time for
  // each way; a second one is a bug, and aborts. Blocks: the task or the plain thread.
  WaitStatus Wait(Way way, const WaitLimits& limits);

  // Takes a claimed waiter for each way that `events` (EPOLLIN, ...) are about: call Wake on those
  // not null.
  struct Woken {
    ClaimWaiter* reader = nullptr;
    ClaimWaiter* writer = nullptr;
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

  struct Side {
    ClaimWaiter* waiter = nullptr;
    bool ready = false;
  };

  void Reset();
  static ClaimWaiter* MarkReady(Side& side);

  SpinLock lock_;
  Side sides_[2];  // guarded by lock_
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
