// SPDX-License-Identifier: Apache-2.0
#include "export/label_filter.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "labels/label_set.h"
#include "labels/utf8.h"

namespace curg {

absl::StatusOr<LabelFilter> LabelFilter::Parse(const std::vector<std::string_view>& texts) {
  LabelFilter filter;
  for (const std::string_view text : texts) {
    const size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    if (name.empty()) {
      return absl::InvalidArgumentError(
          "invalid value for \"label\" - must be key=value, or key for any value");
    }
    auto it = std::find_if(filter.keys_.begin(), filter.keys_.end(),
                           [name](const Key& key) { return key.key == name; });
    if (it == filter.keys_.end()) {
      it = filter.keys_.insert(it, Key{.key = std::string(name), .values = {}});
    }
    if (equals == std::string_view::npos) {
      it->any_value = true;
    } else {
      it->values.emplace_back(text.substr(equals + 1));
    }
  }
  return filter;
}

bool LabelFilter::Matches(const Tag* tag) const {
  if (keys_.empty()) return true;
  const LabelSet* labels = LabelSet::FromTag(tag);
  if (labels == nullptr) return false;
  return std::all_of(keys_.begin(), keys_.end(), [labels](const Key& key) {
    const std::optional<std::string_view> value = labels->Get(key.key);
    if (!value.has_value()) return false;
    return key.any_value ||
           std::find(key.values.begin(), key.values.end(), *value) != key.values.end();
  });
}

void LabelFilter::Apply(CpuProfile& profile) const {
  if (keys_.empty()) return;
  const size_t before = profile.entries.size();
  std::erase_if(profile.entries,
                [this](const CpuProfileEntry& entry) { return !Matches(entry.tag.get()); });
  std::vector<std::string> names;
  for (const Key& key : keys_) names.push_back(internal::QuoteUtf8(internal::RepairUtf8(key.key)));
  profile.quality.notes.push_back(
      absl::StrCat("Filtered by label ", absl::StrJoin(names, ", "), ": ",
                   before - profile.entries.size(), " of ", before, " entries are left out."));
}

}  // namespace curg
