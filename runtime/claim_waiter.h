// SPDX-License-Identifier: Apache-2.0
//
// ClaimWaiter: a waiter whom several may want to wake: the channels of a select, a deadline, a stop
// request.
#pragma once

#include <atomic>
#include <cstdint>

#ifdef CURG_MODEL_PARK  // a schedule-exploring test's, in place of all that this is made of

#include CURG_MODEL_PARK

#else

#include "runtime/park.h"

namespace curg::internal {

using ClaimWord = std::atomic<uint32_t>;

}  // namespace curg::internal

#endif

namespace curg::internal {

// A task, or a plain thread. Lives on the waiter's own stack; waiting allocates nothing.
//
// Differs from Waiter (one waker, who must come after the sleeper lies down) in two ways: wakers
// first race for a claim, and the winner may come at any time, also before the wait, which then
// ends at once. So the wait needs no lock handed over, and a stop request can wake without knowing
// any. It costs two atomic operations more on each side; where one waker is certain, use Waiter.
//
//   waker   TryClaim() ; [deliver] ; Wake()           owner   Wait()
//
// Invariant  kClaimed is set once, by the one waker; only that waker calls Wake, once; Wait returns
//            only after Wake was entered, so a waker that won the claim may rely on the owner's
//            memory until it has called Wake. A waker that lost touches nothing any more.
// Ordering   kWoken: acq_rel in Wake, acquire in Wait (publishes what was delivered). kAsleep and
//            kWoken are set by read-modify-writes of one word, so one of the two sees the other:
//            either Wake sees the sleeper and unparks it, or the sleeper sees kWoken and stays up.
class ClaimWaiter {
 public:
  // For the current task, or the calling plain thread.
  ClaimWaiter();
  ClaimWaiter(const ClaimWaiter&) = delete;
  ClaimWaiter& operator=(const ClaimWaiter&) = delete;

  // True for the first caller only, who must then call Wake.
  // Thread-safe. May run in parallel with everything. Requires: an owner that is still there.
  bool TryClaim() {
    // relaxed: what the winner delivers is published by Wake; losers order nothing
    return (state_.fetch_or(kClaimed, std::memory_order_relaxed) & kClaimed) == 0;
  }

  // Ends the wait. Once, by whoever won the claim; the ClaimWaiter may be gone when it returns.
  // Thread-safe. Blocks: nothing.
  void Wake();

  // Waits until somebody has claimed and woken it, or until `deadline` (MonotonicNow;
  // TimerQueue::kNever for none): then it claims itself. True if somebody else did.
  // Owner only: whoever made it; once. Blocks: the task or the plain thread.
  bool Wait(WaitReason reason, const void* object, int64_t deadline);

 private:
  struct DeadlineTimer;

  static constexpr uint32_t kClaimed = 1;
  static constexpr uint32_t kWoken = 2;
  static constexpr uint32_t kAsleep = 4;
  static constexpr uint32_t kForever = 8;  // a plain thread, without a deadline: counted
                                           // (PlainWaiters)

  static bool CommitSleep(void* self);
  void Sleep(WaitReason reason, const void* object);
  bool WaitThread(int64_t deadline);

  Task* const task_;
  ClaimWord state_{0};      // the plain thread's futex, too
  bool timed_out_ = false;  // written by whoever claimed
};

}  // namespace curg::internal
