// SPDX-License-Identifier: Apache-2.0
//
// SelectCore: what a select does, over cases it knows only by address. Select (select.h) is the
// typed face.
//
// Protocol   1. Lock every channel, in the order of their addresses, so that two selects cannot
//            wait for
//               each other. 2. If cases are ready, carry out one of them, chosen at random. 3.
//               Otherwise link
//               a node into every queue, all with one ClaimWaiter, unlock everything, and wait. 4.
//               Whoever
//               claims the waiter (a partner on one of the channels, a close, the deadline, a stop
//               request)
//               has decided which case it is. 5. Take the other nodes out, one lock at a time.
// Invariant  A select carries out exactly one case: under the locks nobody can claim it, since it
//            stands in no queue yet; later the claim is won once. A partner that loses the claim
//            unlinks the node and tries the next in line, so no value goes to a select that has its
//            own already.
// Rejected   Taking one lock at a time while enqueuing (crossbeam's way): a select that finds a
//            partner half way must claim itself and the partner together, or leave one of the two
//            claimed with nothing done.
#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "runtime/sync/channel_core.h"

namespace curg::internal {

inline constexpr size_t kNoCase = std::numeric_limits<size_t>::max();

// One send or receive; without a channel it is never ready.
struct SelectCase {
  ChannelCore* channel = nullptr;
  void* slot = nullptr;  // as ChannelCore's: the element, or the empty std::optional
  bool send = false;

  // Out: of the case that was chosen, kOk or kClosed.
  WaitStatus status = WaitStatus::kWouldBlock;

  // The select's own.
  WaitNode node;
  SelectCase* next_to_lock = nullptr;
  bool ruled_out = false;
};

// What else may end a select; each with the index to return.
struct SelectLimits {
  WaitLimits wait;
  size_t timeout_index = kNoCase;
  size_t stop_index = kNoCase;
  size_t default_index = kNoCase;
};

class SelectCore {
 public:
  // Carries out one case and returns its index; see select.h.
  // Blocks: the task or the plain thread.
  static size_t Run(std::span<SelectCase> cases, const SelectLimits& limits);

 private:
  explicit SelectCore(std::span<SelectCase> cases) : cases_(cases) {}

  void SortForLocking();
  void LockAll();
  void UnlockAll();
  static bool LooksReady(const SelectCase& one);
  SelectCase* PickReady();
  SelectCase* TryOne();
  void EnqueueAll(ClaimWaiter& waiter);
  void DequeueAll();
  size_t Finished() const;

  const std::span<SelectCase> cases_;
  SelectCase* first_to_lock_ = nullptr;  // one case a channel, by ascending address
};

}  // namespace curg::internal
