// SPDX-License-Identifier: Apache-2.0
#include "runtime/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace curg {

uint64_t LatencyHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

uint64_t LatencyHistogram::QuantileNs(double q) const {
  const uint64_t all = total();
  if (all == 0) return 0;
  const double rank = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(all));
  const uint64_t wanted = std::clamp<uint64_t>(static_cast<uint64_t>(rank), 1, all);
  uint64_t seen = 0;
  size_t bucket = 0;
  while ((seen += counts_[bucket]) < wanted) ++bucket;
  return LowerNs(bucket + 1) - 1;
}

}  // namespace curg
