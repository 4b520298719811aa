// SPDX-License-Identifier: Apache-2.0
//
// CountedTag: a tag that tells whether it is still referenced.
#pragma once

#include <atomic>

#include "runtime/tag.h"

namespace curg::internal {

class CountedTag : public Tag {
 public:
  explicit CountedTag(std::atomic<int>& alive) : alive_(alive) { alive_.fetch_add(1); }
  ~CountedTag() override { alive_.fetch_sub(1); }

 private:
  std::atomic<int>& alive_;
};

}  // namespace curg::internal
