// SPDX-License-Identifier: Apache-2.0
//
// IntervalIndex: which of many nested address ranges is the innermost around an address.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

namespace curg::internal {

// Filled by Add, closed by Build, then asked by Find. Ranges should nest; of those that overlap
// otherwise, the one that begins later wins until it ends.
// Thread-compatible.
class IntervalIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Of equal ranges, the one of the higher rank wins.
  void Add(uint64_t begin, uint64_t end, uint32_t value, uint32_t rank) {
    if (begin < end) ranges_.push_back({begin, end, value, rank});
  }

  // Flattens the ranges into segments that do not overlap. O(n log n).
  void Build() {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::tuple(a.begin, b.end, a.rank) < std::tuple(b.begin, a.end, b.rank);
    });
    std::vector<Range> open;
    for (const Range& range : ranges_) {
      CloseUntil(range.begin, open);
      open.push_back(range);
      Emit(range.begin, range.value);
    }
    CloseUntil(UINT64_MAX, open);
    ranges_.clear();
    ranges_.shrink_to_fit();
  }

  // The value of the innermost range around `address`, or kNone. O(log n).
  uint32_t Find(uint64_t address) const {
    auto it =
        std::upper_bound(segments_.begin(), segments_.end(), address,
                         [](uint64_t a, const Segment& segment) { return a < segment.begin; });
    return it == segments_.begin() ? kNone : std::prev(it)->value;
  }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
    uint32_t value;
    uint32_t rank;
  };
  struct Segment {
    uint64_t begin;  // until the next segment's
    uint32_t value;
  };

  // Ends all open ranges that end at or before `limit`.
  void CloseUntil(uint64_t limit, std::vector<Range>& open) {
    while (!open.empty() && open.back().end <= limit) {
      const uint64_t end = open.back().end;
      while (!open.empty() && open.back().end <= end) open.pop_back();
      Emit(end, open.empty() ? kNone : open.back().value);
    }
  }

  void Emit(uint64_t begin, uint32_t value) {
    if (!segments_.empty() && segments_.back().begin == begin) {
      segments_.back().value = value;
    } else {
      segments_.push_back({begin, value});
    }
  }

  std::vector<Range> ranges_;
  std::vector<Segment> segments_;
};

}  // namespace curg::internal
