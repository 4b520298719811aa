// SPDX-License-Identifier: Apache-2.0
//
// WalkMemo: WalkStack for many stacks of which most are alike: a walk that was made before is
// recognized by what it had read, without being made again.
//
// Invariant  Where a walk comes to depends on the program counter it starts from and on the words
//            it reads, one at a time: return addresses, and saved frame pointers that a later frame
//            goes by. A kept walk is the list of these, its checks: where the word is (from the
//            stack pointer) and what it was (frame pointers: from the stack pointer, too). If all
//            checks hold, walking would read the same words in the same order and come to the same
//            program counters.
// Tree       Walks that agree in their first i checks read the (i + 1)th word in the same place. So
//            where check i of a kept walk fails, the word found there leads to a kept walk with
//            that word, which shares all checks before; or there is none, and the stack is walked.
// Loads      of a walk wait for one another, one a frame; those of checks do not. Cold stacks gain
//            most.
// Not kept   are walks by a rule that reads anything else (signal frames and their like), and ones
//            that do not end at the root or at the depth.
//
// As to modules that are unloaded, see walk_cache.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/traceback.h"
#include "runtime/unwind_row.h"
#include "runtime/walk_cache.h"

namespace curg::internal {

// Owner only: one thread at a time. Not async-signal-safe.
class WalkMemo {
 public:
  static constexpr size_t kDepthMax = 128;

  struct Walk {
    std::span<const uintptr_t> pcs = {};  // as WalkStack's; valid until the next walk, or, with a
                                          // note, until Clear
    TracebackEnd end = TracebackEnd::kRoot;
    uint32_t* note = nullptr;  // the caller's own word about this walk, 0 at first; null if it is
                               // not kept
  };

  // Walks of up to `depth_max` frames, at most kDepthMax. When `walks_max` are kept no more are.
  WalkMemo(size_t depth_max, size_t walks_max);
  ~WalkMemo();
  WalkMemo(const WalkMemo&) = delete;
  WalkMemo& operator=(const WalkMemo&) = delete;

  // Reads memory only inside `bounds`, which others may be writing to: then the result is nonsense,
  // but later ones are not.
  // Blocks: nothing, but allocates.
  Walk Of(const Registers& start, StackBounds bounds);

  bool full() const { return kept_.size() >= walks_max_; }
  void Clear();

  // How far above its stack pointer the last walk that was recognized had read, in bytes.
  size_t reach() const { return reach_; }

 private:
  struct Check {
    uintptr_t expected;
    int32_t slot;  // bytes above the stack pointer; kFramePointer: the register itself
    bool from_sp;  // `expected` is a distance from the stack pointer
    friend bool operator==(const Check&, const Check&) = default;
  };
  static constexpr int32_t kFramePointer = -1;

  struct Kept;
  class Trail;

  // Where a tree branches off: `value` was found where check `index` of `parent` looks.
  struct Branch {
    const Kept* parent = nullptr;  // null: of the first check of all, the program counter
    size_t index = 0;
    uintptr_t value = 0;
    Kept* kept = nullptr;  // null: an empty place
  };

  Kept* Recognize(const Registers& start, StackBounds bounds, Branch* missing) const;
  Walk MakeWalk(const Registers& start, StackBounds bounds, const Branch& missing);
  Walk Keep(const Trail& trail, const Traceback& walk, Branch branch);
  size_t PlaceOf(const Branch& branch) const;

  const size_t depth_max_;
  const size_t walks_max_;
  const UnwindIndex* index_ = nullptr;  // by whose tables the walks were made; only compared
  size_t reach_ = 0;
  std::vector<std::unique_ptr<Kept>> kept_;
  std::vector<Branch> branches_;  // an open table; twice as many as walks
  WalkCache rules_;
  std::array<uintptr_t, kDepthMax> pcs_;
};

}  // namespace curg::internal
