// SPDX-License-Identifier: Apache-2.0
//
// TagCache: references on tags in bulk, so that spawning a million tasks under one labelled parent
// does not make every core fight for one counter (25 ns an operation when four do).
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/tag.h"

namespace curg::internal {

// A processor's small store of spare references: it takes kBatch at a time from the tag's own
// counter, hands them out, and takes them back from tasks that end here.
//
// Invariant  each spare is one reference on `tag` that the cache owns; so a cached tag is alive.
// Not async-signal-safe: a handler takes its references from the tag itself.
// Owner only: the worker that has the processor.
class TagCache {
 public:
  TagCache() = default;
  TagCache(const TagCache&) = delete;
  TagCache& operator=(const TagCache&) = delete;
  ~TagCache() { Clear(); }

  // Takes a reference on `tag`, which the caller keeps alive meanwhile; null is fine.
  void Ref(const Tag* tag) {
    if (tag == nullptr) return;
    Entry& entry = Find(tag);
    if (entry.tag != tag) Replace(entry, tag);
    if (entry.spare == 0) {
      tag->Ref(kBatch);
      entry.spare = kBatch;
    }
    --entry.spare;
  }

  // Gives a reference back; null is fine.
  void Unref(const Tag* tag) {
    if (tag == nullptr) return;
    Entry& entry = Find(tag);
    if (entry.tag != tag) return tag->Unref();
    if (++entry.spare > 2 * kBatch) {
      entry.spare -= kBatch;
      tag->Unref(kBatch);
    }
  }

  // Returns all spare references.
  void Clear() {
    for (Entry& entry : entries_) Replace(entry, nullptr);
  }

 private:
  static constexpr int64_t kBatch = 64;
  static constexpr size_t kEntries = 8;

  struct Entry {
    const Tag* tag = nullptr;
    int64_t spare = 0;
  };

  Entry& Find(const Tag* tag) {
    return entries_[(reinterpret_cast<uintptr_t>(tag) >> 6) % kEntries];
  }

  static void Replace(Entry& entry, const Tag* tag) {
    if (entry.spare > 0) entry.tag->Unref(entry.spare);
    entry = {.tag = tag};
  }

  Entry entries_[kEntries];
};

}  // namespace curg::internal
