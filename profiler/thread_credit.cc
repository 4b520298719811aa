// SPDX-License-Identifier: Apache-2.0
#include "profiler/thread_credit.h"

#include <algorithm>
#include <utility>

namespace curg::internal {

int64_t ThreadCredit::Give(int64_t nominal, std::optional<int64_t> count, bool level) {
  int64_t give = nominal;
  if (nominal > 0 || level) give += std::exchange(first_extra, 0);
  if (count.has_value()) {
    const int64_t owed = *count - given;
    if (nominal > 0 && std::exchange(level_next, false)) level = true;
    if (level || give < owed - behind_max) give = owed;
    give = std::min(give, owed);
  } else if (level) {
    give += std::exchange(unseen_end, 0);
  }
  give = std::max<int64_t>(give, 0);
  given += give;
  return give;
}

void Share(int64_t total, std::span<int64_t> weights) {
  int64_t sum = 0;
  for (const int64_t weight : weights) sum += weight;
  if (sum == 0 || sum == total) return;
  // By running sums, so that roundings do not add up.
  int64_t before = 0;
  int64_t given = 0;
  for (int64_t& weight : weights) {
    before += weight;
    const auto upto =
        static_cast<int64_t>(static_cast<__int128>(total) * before / static_cast<__int128>(sum));
    weight = upto - given;
    given = upto;
  }
}

}  // namespace curg::internal
