// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_map.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/types/span.h"
#include "profiler/pseudo_frames.h"

namespace curg::internal {

ProfMap::ProfMap(size_t bytes_max) : bytes_max_(bytes_max), index_(0, Hash{this}, Same{this}) {
  overflow_.pcs = {PseudoLeaf(&OverflowBucket)};
  overflow_.kind = SampleKind::kOverflow;
}

ProfMap::~ProfMap() {
  for (const Tag* tag : tags_) tag->Unref();
}

void ProfMap::Add(const Key& key, int64_t samples, int64_t weight) {
  CpuProfileEntry* entry = &overflow_;
  if (const auto it = index_.find(key); it != index_.end()) {
    entry = &entries_[*it];
  } else if (bytes_ + BytesOf(key) <= bytes_max_) {
    entry = &Insert(key);
  }
  entry->samples += samples;
  entry->weight += weight;
}

CpuProfileEntry& ProfMap::Insert(const Key& key) {
  bytes_ += BytesOf(key);
  CpuProfileEntry& entry = entries_.emplace_back();
  entry.pcs.assign(key.pcs.begin(), key.pcs.end());
  entry.kind = key.kind;
  entry.task_id = key.task_id;
  entry.truncated = key.truncated;
  tags_of_.push_back(key.tag);
  if (key.tag != nullptr && tags_.insert(key.tag).second) key.tag->Ref();
  index_.insert(static_cast<uint32_t>(entries_.size() - 1));
  return entry;
}

// Twice for what grows by doubling; the program counters are a block of their own.
size_t ProfMap::BytesOf(const Key& key) {
  constexpr size_t kAllocatorHeader = 16;
  return 2 * (sizeof(CpuProfileEntry) + sizeof(const Tag*) + sizeof(uint32_t) + 1) +
         key.pcs.size_bytes() + kAllocatorHeader;
}

std::vector<CpuProfileEntry> ProfMap::Take() {
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i].tag = TagRef::Share(tags_of_[i]);
  for (const Tag* tag : tags_) tag->Unref();
  std::vector<CpuProfileEntry> entries = std::exchange(entries_, {});
  tags_of_.clear();
  tags_.clear();
  index_.clear();
  bytes_ = 0;
  if (overflow_.samples != 0) {
    entries.push_back(overflow_);
    overflow_.samples = overflow_.weight = 0;
  }
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const CpuProfileEntry& a, const CpuProfileEntry& b) { return a.weight > b.weight; });
  return entries;
}

ProfMap::Key ProfMap::KeyAt(uint32_t entry) const {
  const CpuProfileEntry& e = entries_[entry];
  return {.pcs = e.pcs,
          .tag = tags_of_[entry],
          .kind = e.kind,
          .task_id = e.task_id,
          .truncated = e.truncated};
}

size_t ProfMap::HashOf(const Key& key) {
  return absl::HashOf(absl::MakeConstSpan(key.pcs.data(), key.pcs.size()), key.tag, key.kind,
                      key.task_id, key.truncated);
}

bool ProfMap::Equal(const Key& a, const Key& b) {
  return a.tag == b.tag && a.kind == b.kind && a.task_id == b.task_id &&
         a.truncated == b.truncated &&
         std::equal(a.pcs.begin(), a.pcs.end(), b.pcs.begin(), b.pcs.end());
}

}  // namespace curg::internal
