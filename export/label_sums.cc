// SPDX-License-Identifier: Apache-2.0
#include "export/label_sums.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "labels/label_set.h"

namespace curg {
namespace {

using Values = std::vector<std::optional<std::string>>;

Values ValuesOf(const CpuProfileEntry& entry, const std::vector<std::string_view>& keys) {
  const LabelSet* labels = LabelSet::FromTag(entry.tag.get());
  Values values;
  for (std::string_view key : keys) values.emplace_back(labels ? labels->Get(key) : std::nullopt);
  return values;
}

}  // namespace

bool LabelSum::Labelled() const {
  return std::any_of(values.begin(), values.end(), [](const auto& value) { return !!value; });
}

std::vector<LabelSum> SumByLabel(const CpuProfile& profile,
                                 const std::vector<std::string_view>& keys) {
  std::map<std::pair<Values, SampleKind>, LabelSum> by_values;
  for (const CpuProfileEntry& entry : profile.entries) {
    LabelSum& sum = by_values[{ValuesOf(entry, keys), entry.kind}];
    sum.samples += entry.samples;
    sum.weight += entry.weight;
  }
  std::vector<LabelSum> sums;
  for (auto& [key, sum] : by_values) {
    std::tie(sum.values, sum.kind) = key;
    sums.push_back(std::move(sum));
  }
  std::stable_sort(sums.begin(), sums.end(),
                   [](const LabelSum& a, const LabelSum& b) { return a.weight > b.weight; });
  return sums;
}

}  // namespace curg
