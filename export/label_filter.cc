// SPDX-License-Identifier: Apache-2.0
#include "export/label_filter.h"

#include <algorithm>
#include <optional>

#include "labels/label_set.h"

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

}  // namespace curg
