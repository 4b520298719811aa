// SPDX-License-Identifier: Apache-2.0
//
// Once: does something exactly once, whoever comes first; the others wait until it is done.
//
//   curg::Once once;
//   once.Do([&] { table = LoadTable(); });
//
// State  kNew -> kRunning -> kDone, or back to kNew when the function throws; then one of those who
//        wait runs its own. kDone is published with release and read with acquire: that is all that
//        a later call does.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// Must outlive every call on it, also those that only wait.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class Once {
 public:
  constexpr Once() = default;
  // Aborts, naming the caller, when somebody waits.
  ~Once();
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  // Calls fn() unless a call has been done, and returns when one is. What fn throws is thrown to
  // this caller, and the next one tries again (as std::call_once). A Do inside fn throws
  // std::system_error (resource_deadlock_would_occur), naming the caller.
  // Blocks: the task or the plain thread, while another calls.
  template <std::invocable Fn>
  void Do(Fn&& fn) {
    (void)DoUntil(std::forward<Fn>(fn), Deadline::Never());
  }

  // As Do, but gives up waiting for another's call at `deadline` (kTimeout) or when a stop is
  // requested (kCancelled).
  template <std::invocable Fn>
  WaitStatus DoUntil(Fn&& fn, Deadline deadline, const std::stop_token& stop = {}) {
    // acquire: pairs with the release in End()
    if (state_.load(std::memory_order_acquire) == State::kDone) return WaitStatus::kOk;
    bool mine = false;
    const WaitStatus status = Begin({deadline, &stop}, &mine);
    if (!mine) return status;
    struct Ending {
      Once* once;
      bool done = false;
      ~Ending() { once->End(done); }
    } ending{this};
    std::invoke(std::forward<Fn>(fn));
    ending.done = true;
    return WaitStatus::kOk;
  }
  template <std::invocable Fn>
  WaitStatus Do(Fn&& fn, const std::stop_token& stop) {
    return DoUntil(std::forward<Fn>(fn), Deadline::Never(), stop);
  }

  // Whether a call has been done.
  bool done() const { return state_.load(std::memory_order_acquire) == State::kDone; }

 private:
  friend struct internal::SyncProbe;  // tests

  enum class State : uint8_t { kNew, kRunning, kDone };

  WaitStatus Begin(const internal::WaitLimits& limits, bool* mine);
  void End(bool done);

  internal::Atomic<State> state_{State::kNew};  // written with lock_ held
  internal::SpinLock lock_;
  const void* owner_ = nullptr;  // guarded by lock_: who runs
  internal::WaitQueue waiters_;  // guarded by lock_
};

}  // namespace curg
