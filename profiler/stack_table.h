// SPDX-License-Identifier: Apache-2.0
//
// StackTable: each stack once, under a number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace curg {

// Thread-compatible, as a container.
class StackTable {
 public:
  using Number = uint32_t;

  StackTable() : numbers_(0, Hash{this}, Equal{this}) {}
  StackTable(StackTable&& other) noexcept : StackTable() { *this = std::move(other); }
  // The set refers to its table, so it is left behind; a table that was moved to can still grow.
  StackTable& operator=(StackTable&& other) noexcept {
    pcs_ = std::exchange(other.pcs_, {});
    stacks_ = std::exchange(other.stacks_, {});
    other.numbers_.clear();
    numbers_.clear();
    for (Number number = 0; number < stacks_.size(); ++number) numbers_.insert(number);
    return *this;
  }
  StackTable(const StackTable& other) : StackTable() { *this = other; }
  StackTable& operator=(const StackTable& other) {
    StackTable copy;
    for (Number number = 0; number < other.size(); ++number) copy.Add(other[number]);
    return *this = std::move(copy);
  }

  // The number of `pcs`: of an equal stack that was added before, or the next one.
  Number Add(std::span<const uintptr_t> pcs) {
    if (const auto found = numbers_.find(Key{pcs, HashOf(pcs)}); found != numbers_.end())
      return *found;
    const auto number = static_cast<Number>(stacks_.size());
    stacks_.push_back({.begin = pcs_.size(), .size = pcs.size(), .hash = HashOf(pcs)});
    pcs_.insert(pcs_.end(), pcs.begin(), pcs.end());
    numbers_.insert(number);
    return number;
  }

  // Requires: number < size(). Valid until the next Add.
  std::span<const uintptr_t> operator[](Number number) const {
    const Stack& stack = stacks_[number];
    return {pcs_.data() + stack.begin, stack.size};
  }
  size_t size() const { return stacks_.size(); }

 private:
  struct Stack {
    size_t begin;
    size_t size;
    size_t hash;
  };
  struct Key {
    std::span<const uintptr_t> pcs;
    size_t hash;
  };
  struct Hash {
    using is_transparent = void;
    const StackTable* table;
    size_t operator()(const Key& key) const { return key.hash; }
    size_t operator()(Number number) const { return table->stacks_[number].hash; }
  };
  struct Equal {
    using is_transparent = void;
    const StackTable* table;
    bool operator()(Number a, Number b) const { return a == b; }
    bool operator()(Number a, const Key& b) const { return std::ranges::equal((*table)[a], b.pcs); }
    bool operator()(const Key& a, Number b) const { return (*this)(b, a); }
  };

  // Each step depends on the last by one multiplication only: some nanoseconds for ten frames.
  static size_t HashOf(std::span<const uintptr_t> pcs) {
    uint64_t hash = pcs.size();
    for (const uintptr_t pc : pcs) {
      const auto product = static_cast<unsigned __int128>(hash ^ pc) * 0x9e3779b97f4a7c15;
      hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }
    return hash;
  }

  std::vector<uintptr_t> pcs_;
  std::vector<Stack> stacks_;
  absl::flat_hash_set<Number, Hash, Equal> numbers_;
};

}  // namespace curg
