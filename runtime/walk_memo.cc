// SPDX-License-Identifier: Apache-2.0
#include "runtime/walk_memo.h"

#include <algorithm>
#include <bit>

namespace curg::internal {

struct WalkMemo::Kept {
  std::vector<Check> checks;
  std::vector<uintptr_t> pcs;
  TracebackEnd end;
  size_t reach = 0;
  uint32_t note = 0;
};

// Notes what a walk reads, as it does.
class WalkMemo::Trail final : public WalkObserver {
 public:
  explicit Trail(uintptr_t sp) : sp_(sp) {}

  void OnStep(const UnwindReader::Found& found, const Registers& callee,
              const Registers& caller) noexcept override {
    const UnwindWord::Kind kind = found.word.kind();
    if (found.rule == nullptr && kind == UnwindWord::Kind::kRoot) return;
    const bool plain = kind == UnwindWord::Kind::kRsp || kind == UnwindWord::Kind::kRbp;
    if (found.rule != nullptr || !plain || caller.sp == callee.sp) {
      complete_ = false;
      return;
    }
    if (kind == UnwindWord::Kind::kRbp)
      Add({.expected = callee.bp - sp_, .slot = frame_pointer_, .from_sp = true});
    Add({.expected = caller.pc, .slot = SlotOf(caller.sp - 8), .from_sp = false});
    if (const uint32_t below = found.word.rbp_below(); below != 0)
      frame_pointer_ = SlotOf(caller.sp - below);
  }

  bool complete() const { return complete_; }
  std::span<const Check> checks() const { return {checks_.data(), size_}; }

 private:
  int32_t SlotOf(uintptr_t address) {
    const uintptr_t slot = address - sp_;
    if (slot > INT32_MAX) complete_ = false;  // below the stack pointer, too
    return static_cast<int32_t>(slot);
  }

  void Add(const Check& check) { checks_[size_++] = check; }

  const uintptr_t sp_;
  bool complete_ = true;
  int32_t frame_pointer_ = kFramePointer;  // where the register's value came from
  size_t size_ = 0;
  std::array<Check, 2 * kDepthMax> checks_;
};

WalkMemo::WalkMemo(size_t depth_max, size_t walks_max)
    : depth_max_(std::min(depth_max, kDepthMax)),
      walks_max_(walks_max),
      branches_(std::bit_ceil(2 * walks_max)) {}

WalkMemo::~WalkMemo() = default;

void WalkMemo::Clear() {
  kept_.clear();
  std::ranges::fill(branches_, Branch{});
  reach_ = 0;
}

WalkMemo::Walk WalkMemo::Of(const Registers& start, StackBounds bounds) {
  if (const UnwindIndex* current = ProcessUnwindIndex().current(); current != index_) {
    Clear();
    index_ = current;
  }
  Branch missing;
  Kept* const kept = Recognize(start, bounds, &missing);
  if (kept == nullptr) return MakeWalk(start, bounds, missing);
  reach_ = kept->reach;
  return {.pcs = kept->pcs, .end = kept->end, .note = &kept->note};
}

// Null: *missing is where it would have to be; or has no index worth keeping.
inline WalkMemo::Kept* WalkMemo::Recognize(const Registers& start, StackBounds bounds,
                                           Branch* missing) const {
  using StackWord [[gnu::may_alias]] = const uintptr_t;
  *missing = {.value = start.pc};
  if (!bounds.Contains(start.sp) || start.sp % 8 != 0) return nullptr;
  const uintptr_t room = bounds.high - start.sp;
  size_t index = 0;
  for (Kept* kept = branches_[PlaceOf(*missing)].kept; kept != nullptr;
       kept = branches_[PlaceOf(*missing)].kept) {
    const Check* const checks = kept->checks.data();
    const size_t size = kept->checks.size();
    uintptr_t value = 0;
    for (; index < size; ++index) {
      const Check& check = checks[index];
      if (check.slot == kFramePointer) {
        value = start.bp;
      } else if (const auto slot = static_cast<uintptr_t>(check.slot);
                 slot + 8 > room || slot % 8 != 0) {
        return nullptr;
      } else {
        value = *reinterpret_cast<StackWord*>(start.sp + slot);
      }
      if (check.from_sp) value -= start.sp;
      if (value != check.expected) break;
    }
    if (index == size) return kept;
    *missing = {.parent = kept, .index = index, .value = value};
    ++index;  // the one to be found expects the value
  }
  return nullptr;
}

WalkMemo::Walk WalkMemo::MakeWalk(const Registers& start, StackBounds bounds,
                                  const Branch& missing) {
  Trail trail(start.sp);
  const Traceback walk = rules_.Walk(start, bounds, std::span(pcs_).first(depth_max_), &trail);
  const bool whole = walk.end == TracebackEnd::kRoot || walk.end == TracebackEnd::kTruncated;
  if (whole && trail.complete() && !full() && bounds.Contains(start.sp) && start.sp % 8 == 0) {
    return Keep(trail, walk, missing);
  }
  return {.pcs = std::span(pcs_).first(walk.depth), .end = walk.end};
}

// The stack may have changed since it was looked at: the walk is kept only if it is what was
// missing.
WalkMemo::Walk WalkMemo::Keep(const Trail& trail, const Traceback& walk, Branch branch) {
  const std::span<const Check> checks = trail.checks();
  const auto pcs = std::span<const uintptr_t>(pcs_).first(walk.depth);
  if (const Kept* const parent = branch.parent; parent != nullptr) {
    const size_t same = branch.index;
    Check next = parent->checks[same];
    next.expected = branch.value;
    if (checks.size() <= same || checks[same] != next ||
        !std::ranges::equal(checks.first(same), std::span(parent->checks).first(same))) {
      return {.pcs = pcs, .end = walk.end};
    }
  }
  auto kept = std::make_unique<Kept>(Kept{
      .checks = {checks.begin(), checks.end()}, .pcs = {pcs.begin(), pcs.end()}, .end = walk.end});
  for (const Check& check : checks) {
    if (check.slot != kFramePointer)
      kept->reach = std::max(kept->reach, static_cast<size_t>(check.slot) + sizeof(uintptr_t));
  }
  branch.kept = kept.get();
  branches_[PlaceOf(branch)] = branch;
  kept_.push_back(std::move(kept));
  return {.pcs = branch.kept->pcs, .end = walk.end, .note = &branch.kept->note};
}

// Of an equal branch, or the empty place where it belongs.
inline size_t WalkMemo::PlaceOf(const Branch& branch) const {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  const uint64_t key =
      (reinterpret_cast<uintptr_t>(branch.parent) * kGolden + branch.index) ^ branch.value;
  const uint64_t mixed = key * kGolden;
  for (size_t place = mixed >> 32;; ++place) {
    place &= branches_.size() - 1;
    const Branch& there = branches_[place];
    if (there.kept == nullptr || (there.parent == branch.parent && there.index == branch.index &&
                                  there.value == branch.value)) {
      return place;
    }
  }
}

}  // namespace curg::internal
