// SPDX-License-Identifier: Apache-2.0
#include "export/testing/test_case_tagger.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace curg::internal {

void TestCaseTagger::Begin(uint64_t time, Labels labels) {
  const std::lock_guard lock(lock_);
  spans_.push_back({.begin = time, .labels = std::move(labels)});
}

TagRef TestCaseTagger::TagOf(const Tag* tag, uint64_t time) {
  Labels labels;
  {
    const std::lock_guard lock(lock_);
    const auto after =
        std::upper_bound(spans_.begin(), spans_.end(), time,
                         [](uint64_t t, const Span& span) { return t < span.begin; });
    if (after != spans_.begin()) labels = std::prev(after)->labels;
  }
  if (tag == nullptr) return labels;
  const LabelSet* const own = LabelSet::FromTag(tag);
  return own == nullptr ? TagRef::Share(tag) : TagRef(labels.With(own->labels()));
}

}  // namespace curg::internal
