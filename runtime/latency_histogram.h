// SPDX-License-Identifier: Apache-2.0
//
// LatencyHistogram: how often which duration was seen, in log-linear buckets that are the same in
// every process: eight to each power of two, so a bucket is at most 12.5 % wide.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace curg {

// A value: copied out of the runtime. Thread-compatible.
class LatencyHistogram {
 public:
  static constexpr size_t kBuckets = 280;  // the last one ends at 2^37 ns (137 s) and takes all
                                           // above

  // The bucket of a duration. Buckets are [LowerNs(i), LowerNs(i + 1)).
  static constexpr size_t BucketOf(uint64_t ns) {
    if (ns < kSteps) return static_cast<size_t>(ns);
    const auto power = static_cast<size_t>(std::bit_width(ns)) - kStepBits - 1;
    const size_t bucket = (power + 1) * kSteps + ((ns >> power) & (kSteps - 1));
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static constexpr uint64_t LowerNs(size_t bucket) {
    if (bucket < 2 * kSteps) return bucket;
    return (kSteps + bucket % kSteps) << (bucket / kSteps - 1);
  }

  void Add(size_t bucket, uint64_t times) { counts_[bucket] += times; }
  uint64_t count(size_t bucket) const { return counts_[bucket]; }
  uint64_t total() const;

  // A duration that a share `q` (0 to 1) of the observations does not exceed, to within a bucket's
  // width; 0 when there are none.
  uint64_t QuantileNs(double q) const;
  uint64_t p50_ns() const { return QuantileNs(0.5); }
  uint64_t p99_ns() const { return QuantileNs(0.99); }

 private:
  static constexpr size_t kStepBits = 3;
  static constexpr uint64_t kSteps = uint64_t{1} << kStepBits;

  std::array<uint64_t, kBuckets> counts_{};
};

}  // namespace curg
