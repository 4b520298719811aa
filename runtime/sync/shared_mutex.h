// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex: one writer or many readers; blocks the task, not the thread.
//
// Fairness   First come, first served: a reader that comes while a writer waits stands behind it,
//            so readers do not starve writers; when the writer leaves, all readers up to the next
//            writer go in together, so writers do not starve readers. No barging: an unlock hands
//            over.
// Invariant  If somebody waits, the first could not go in as things are: a writer holds it, or
//            readers hold it and the first is a writer. holders_ is -1 (a writer), or the number of
//            readers.
// Lifetime   The last access of an unlock is its unlock of lock_.
// Rejected   A lock-free count of readers: readers would still share its cache line, and an unlock
//            that looks for waiters afterwards may look at a destroyed object. Where readers must
//            not share a line, shard.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// SharedLockable and SharedTimedLockable as the standard says: std::unique_lock, std::shared_lock
// and std::scoped_lock work. Not recursive, for readers neither: with a writer waiting in between
// it deadlocks. Unlocking what is not locked that way aborts; debug builds also abort when somebody
// else than the writer unlocks it, and throw std::system_error (resource_deadlock_would_occur) when
// the writer locks it again without a limit. The message names the caller.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class SharedMutex {
 public:
  constexpr SharedMutex() = default;
  // Aborts, naming the caller, when somebody waits.
  ~SharedMutex();
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  // Blocks: the task or the plain thread.
  void lock() { (void)Acquire(kWriter, {}); }
  void lock_shared() { (void)Acquire(kReader, {}); }

  // Block: nothing.
  bool try_lock() { return TryAcquire(kWriter); }
  bool try_lock_shared() { return TryAcquire(kReader); }
  void unlock();
  void unlock_shared();

  // Lock, but give up at `deadline` (kTimeout) or when a stop is requested (kCancelled).
  // Block: the task or the plain thread.
  WaitStatus LockUntil(Deadline deadline, const std::stop_token& stop = {}) {
    return Acquire(kWriter, {deadline, &stop});
  }
  WaitStatus LockSharedUntil(Deadline deadline, const std::stop_token& stop = {}) {
    return Acquire(kReader, {deadline, &stop});
  }
  WaitStatus Lock(const std::stop_token& stop) { return LockUntil(Deadline::Never(), stop); }
  WaitStatus LockShared(const std::stop_token& stop) {
    return LockSharedUntil(Deadline::Never(), stop);
  }

  // The standard's names for them: whether it is locked.
  template <typename Clock, typename Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return LockUntil(deadline) == WaitStatus::kOk;
  }
  template <typename Clock, typename Duration>
  bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> deadline) {
    return LockSharedUntil(deadline) == WaitStatus::kOk;
  }
  bool try_lock_for(std::chrono::nanoseconds duration) {
    return LockUntil(Deadline::After(duration)) == WaitStatus::kOk;
  }
  bool try_lock_shared_for(std::chrono::nanoseconds duration) {
    return LockSharedUntil(Deadline::After(duration)) == WaitStatus::kOk;
  }

 private:
  friend struct internal::SyncProbe;  // tests

  // How somebody wants it; a node's detail.
  enum Mode : int64_t { kReader, kWriter };

  bool TryAcquire(Mode mode);
  WaitStatus Acquire(Mode mode, const internal::WaitLimits& limits);
  bool FitsLocked(int64_t mode) const;
  void AdmitLocked(int64_t mode, const void* who);
  void LetInAndUnlock();

  internal::SpinLock lock_;
  // All guarded by lock_. In debug builds the writer's CallerToken() is kept, and that of each
  // node's owner is the node's slot.
  int64_t holders_ = 0;
  const void* writer_ = nullptr;
  internal::WaitQueue waiters_;
};

}  // namespace curg
