// SPDX-License-Identifier: Apache-2.0
//
// LabelFilter: which samples or tasks are meant, by their labels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/tag.h"

namespace curg {

// Thread-compatible, as any value.
class LabelFilter {
 public:
  // Lets everything through.
  LabelFilter() = default;

  // Each text is "key=value" or "key", which means any value. Several values of one key: any of
  // them; several keys: all of them. INVALID_ARGUMENT: an empty key.
  static absl::StatusOr<LabelFilter> Parse(const std::vector<std::string_view>& texts);

  bool LetsAllThrough() const { return keys_.empty(); }

  // Whether the labels that `tag` means (null: none) are meant.
  bool Matches(const Tag* tag) const;
  // The same, for what takes a filter as a function.
  bool operator()(const Tag* tag) const { return Matches(tag); }

 private:
  struct Key {
    std::string key;
    std::vector<std::string> values;
    bool any_value = false;
  };
  std::vector<Key> keys_;
};

}  // namespace curg
