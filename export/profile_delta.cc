// SPDX-License-Identifier: Apache-2.0
#include "export/profile_delta.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace curg {
namespace {

struct Key {
  const std::vector<uintptr_t>* pcs;
  const Tag* tag;
  SampleKind kind;
  uint64_t task_id;

  friend bool operator==(const Key& a, const Key& b) {
    return a.tag == b.tag && a.kind == b.kind && a.task_id == b.task_id && *a.pcs == *b.pcs;
  }
  template <typename H>
  friend H AbslHashValue(H hash, const Key& key) {
    return H::combine(std::move(hash), *key.pcs, key.tag, key.kind, key.task_id);
  }
};

Key KeyOf(const CpuProfileEntry& entry) {
  return {&entry.pcs, entry.tag.get(), entry.kind, entry.task_id};
}

}  // namespace

CpuProfile ProfileDelta(const CpuProfile& earlier, CpuProfile later) {
  struct Values {
    int64_t samples = 0;
    int64_t weight = 0;
  };
  absl::flat_hash_map<Key, Values> before;
  for (const CpuProfileEntry& entry : earlier.entries) {
    Values& values = before[KeyOf(entry)];
    values.samples += entry.samples;
    values.weight += entry.weight;
  }
  for (CpuProfileEntry& entry : later.entries) {
    const auto it = before.find(KeyOf(entry));
    if (it == before.end()) continue;
    // A second entry of the same key, if there is one, has nothing left to be taken off.
    const Values values = std::exchange(it->second, {});
    if (entry.samples < values.samples || entry.weight < values.weight) continue;
    entry.samples -= values.samples;
    entry.weight -= values.weight;
  }
  std::erase_if(later.entries, [](const CpuProfileEntry& entry) {
    return entry.samples == 0 && entry.weight == 0;
  });
  later.duration += later.start - earlier.start;
  later.start = earlier.start;
  return later;
}

}  // namespace curg
