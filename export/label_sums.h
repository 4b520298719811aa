// SPDX-License-Identifier: Apache-2.0
//
// What a CPU profile adds up to, by label.
//
//   for (const curg::LabelSum& sum : curg::SumByLabel(profile, {"endpoint"})) {
//     if (sum.values[0] == "/search") search_ns += sum.weight;
//   }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/cpu_profile.h"

namespace curg {

struct LabelSum {
  // Of the keys asked for, in their order; none where a label is not set.
  std::vector<std::optional<std::string>> values;
  SampleKind kind = SampleKind::kTask;
  int64_t samples = 0;
  int64_t weight = 0;  // CPU time in nanoseconds, or what else the profile's unit says

  // Whether any of the labels is set.
  bool Labelled() const;
};

// One sum for each combination of values and kind that occurs, the longest time first. Together
// they are all of the profile. export/text.h prints the like as a table.
// Thread-safe. Blocks: nothing.
std::vector<LabelSum> SumByLabel(const CpuProfile& profile,
                                 const std::vector<std::string_view>& keys);

}  // namespace curg
