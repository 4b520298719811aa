// SPDX-License-Identifier: Apache-2.0
//
// Predicates on tags, made of labels: for what takes a tag filter, such as CpuProfileOptions::filter.
//
//   curg::StartCpuProfile({.filter = curg::HasLabel("tenant", "acme")});
#pragma once

#include <functional>
#include <string>

#include "runtime/tag.h"

namespace curg {

using TagFilter = std::function<bool(const Tag*)>;

// True for tags that have the label `key`, whatever its value.
// The results are thread-safe, and own what they need.
TagFilter HasLabel(std::string key);

// True for tags that have the label `key` with that value.
TagFilter HasLabel(std::string key, std::string value);

}  // namespace curg
