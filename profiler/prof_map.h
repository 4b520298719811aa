// SPDX-License-Identifier: Apache-2.0
//
// ProfMap: (stack, tag, kind, task if asked for) -> how many samples, and their weight. Chapter 5
// of the life of a sample (profiler/README.md). Bounded: what is distinct beyond the bound goes
// into one overflow entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "profiler/cpu_profile.h"
#include "runtime/tag.h"

namespace curg::internal {

// Thread-compatible. Not async-signal-safe.
class ProfMap {
 public:
  // What tells entries apart.
  struct Key {
    std::span<const uintptr_t> pcs;
    const Tag* tag = nullptr;
    SampleKind kind = SampleKind::kTask;
    uint64_t task_id = 0;
    bool truncated = false;
  };

  // Uses about `bytes_max` at most, the overflow entry not counted.
  explicit ProfMap(size_t bytes_max);
  ~ProfMap();
  ProfMap(const ProfMap&) = delete;
  ProfMap& operator=(const ProfMap&) = delete;

  // Counts samples of one key. The map takes a reference on a tag when it first meets it, and no
  // other; it does not take over the caller's.
  void Add(const Key& key, int64_t samples, int64_t weight);

  // Samples in the overflow entry.
  int64_t overflow_samples() const { return overflow_.samples; }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

  // Moves all entries out, the heaviest first, the overflow entry, if any, among them;
  // each has a reference on its tag. The map is empty afterwards.
  std::vector<CpuProfileEntry> Take();

 private:
  static size_t HashOf(const Key& key);
  static bool Equal(const Key& a, const Key& b);

  // Entries are found by the hash of what they hold; the set holds their numbers.
  struct Hash {
    using is_transparent = void;
    const ProfMap* map;
    size_t operator()(uint32_t entry) const { return HashOf(map->KeyAt(entry)); }
    size_t operator()(const Key& key) const { return HashOf(key); }
  };
  struct Same {
    using is_transparent = void;
    const ProfMap* map;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t a, const Key& b) const { return Equal(map->KeyAt(a), b); }
    bool operator()(const Key& a, uint32_t b) const { return Equal(a, map->KeyAt(b)); }
  };

  Key KeyAt(uint32_t entry) const;
  static size_t BytesOf(const Key& key);
  CpuProfileEntry& Insert(const Key& key);

  const size_t bytes_max_;
  size_t bytes_ = 0;
  std::vector<CpuProfileEntry> entries_;  // their tags are set by Take()
  std::vector<const Tag*> tags_of_;       // of each entry; kept alive by tags_
  absl::flat_hash_set<const Tag*> tags_;  // holds one reference each
  absl::flat_hash_set<uint32_t, Hash, Same> index_;
  CpuProfileEntry overflow_;
};

}  // namespace curg::internal
