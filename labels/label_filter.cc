// SPDX-License-Identifier: Apache-2.0
#include "labels/label_filter.h"

#include <utility>

#include "labels/label_set.h"

namespace curg {

TagFilter HasLabel(std::string key) {
  return [key = std::move(key)](const Tag* tag) {
    const LabelSet* const labels = LabelSet::FromTag(tag);
    return labels != nullptr && labels->Get(key).has_value();
  };
}

TagFilter HasLabel(std::string key, std::string value) {
  return [key = std::move(key), value = std::move(value)](const Tag* tag) {
    const LabelSet* const labels = LabelSet::FromTag(tag);
    return labels != nullptr && labels->Get(key) == value;
  };
}

}  // namespace curg
