// SPDX-License-Identifier: Apache-2.0
//
// ConditionVariable: waits, with a Mutex released meanwhile, until somebody says that something has
// changed.
//
//   std::unique_lock lock(mutex);
//   changed.Wait(lock, [&] { return !queue.empty(); });
//
// Invariant  The waiter is in the queue before it releases the mutex, so a notification by whoever
//            takes the mutex next finds it.
// Lifetime   The last access of a notification is its unlock.
// Rejected   Moving waiters over to the mutex's queue on NotifyAll: they are woken to run next and
//            find the mutex free on the usual path, where the notifier has released it.
#pragma once

#include <concepts>
#include <functional>
#include <mutex>
#include <stop_token>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// Waits end on notification only: there are no spurious wake-ups, but another may have taken what
// was there, so use the forms with a condition. Notifications go to those who have waited longest.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class ConditionVariable {
 public:
  constexpr ConditionVariable() = default;
  // Aborts, naming the caller, when somebody waits that was not notified.
  ~ConditionVariable();
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;

  // Releases `lock`, waits for a notification, and takes `lock` again. Requires: lock.owns_lock(),
  // which it also ensures, however the wait ends.
  // Blocks: the task or the plain thread.
  void Wait(std::unique_lock<Mutex>& lock) { (void)WaitWithin(lock, {}); }
  // As Wait, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled).
  WaitStatus WaitUntil(std::unique_lock<Mutex>& lock, Deadline deadline,
                       const std::stop_token& stop = {}) {
    return WaitWithin(lock, {deadline, &stop});
  }
  WaitStatus Wait(std::unique_lock<Mutex>& lock, const std::stop_token& stop) {
    return WaitUntil(lock, Deadline::Never(), stop);
  }

  // Waits until condition(), called with the lock held, is true.
  template <std::predicate Condition>
  void Wait(std::unique_lock<Mutex>& lock, Condition condition) {
    while (!std::invoke(condition)) Wait(lock);
  }
  // As above, but gives up; kOk if the condition is true at last.
  template <std::predicate Condition>
  WaitStatus WaitUntil(std::unique_lock<Mutex>& lock, Condition condition, Deadline deadline,
                       const std::stop_token& stop = {}) {
    while (!std::invoke(condition)) {
      const WaitStatus status = WaitUntil(lock, deadline, stop);
      if (status == WaitStatus::kOk) continue;
      return std::invoke(condition) ? WaitStatus::kOk : status;
    }
    return WaitStatus::kOk;
  }
  template <std::predicate Condition>
  WaitStatus Wait(std::unique_lock<Mutex>& lock, Condition condition, const std::stop_token& stop) {
    return WaitUntil(lock, std::move(condition), Deadline::Never(), stop);
  }

  // Ends the wait of one, or of all who wait now. With or without the mutex held. Blocks: nothing.
  void NotifyOne();
  void NotifyAll();

 private:
  friend struct internal::SyncProbe;  // tests

  WaitStatus WaitWithin(std::unique_lock<Mutex>& lock, const internal::WaitLimits& limits);

  internal::SpinLock lock_;
  internal::WaitQueue waiters_;  // guarded by lock_
};

}  // namespace curg
