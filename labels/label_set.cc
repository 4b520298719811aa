// SPDX-License-Identifier: Apache-2.0
#include "labels/label_set.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "labels/utf8.h"

namespace curg {
namespace {

// Sorts pairs, lets the last of equal keys win, and repairs what is not UTF-8.
class Canonical {
 public:
  explicit Canonical(absl::Span<const Label> sorted) : labels_(sorted.begin(), sorted.end()) {}

  void Add(const Label& label) {
    const std::string_view key = Valid(label.key);
    const std::string_view value = Valid(label.value);
    auto it = std::lower_bound(labels_.begin(), labels_.end(), key,
                               [](const Label& l, std::string_view k) { return l.key < k; });
    if (it != labels_.end() && it->key == key) {
      it->value = value;
    } else {
      labels_.insert(it, Label{key, value});
    }
  }

  absl::Span<const Label> labels() const { return labels_; }

 private:
  std::string_view Valid(std::string_view text) {
    if (internal::IsValidUtf8(text)) [[likely]]
      return text;
    return repaired_.emplace_back(internal::RepairUtf8(text));
  }

  absl::InlinedVector<Label, 8> labels_;
  std::deque<std::string> repaired_;
};

size_t HashOf(absl::Span<const Label> labels) {
  size_t hash = labels.size();
  for (const Label& label : labels) {
    hash = absl::HashOf(hash, std::hash<std::string_view>()(label.key),
                        std::hash<std::string_view>()(label.value));
  }
  return hash;
}

}  // namespace

// The weak table of all sets, in shards so that threads that label at once rarely meet.
// Invariant: a set with references is in the table; an entry may be of a set without any, until its
// destructor, which waits for the shard's lock, has run. Entries' memory is therefore always valid
// under the lock.
class LabelTable {
 public:
  static LabelTable& Get() {
    static LabelTable* const table = new LabelTable;  // never destroyed: sets outlive statics
    return *table;
  }

  const LabelSet* FindOrMake(absl::Span<const Label> sorted) {
    const Key key{HashOf(sorted), sorted};
    Shard& shard = ShardOf(key.hash);
    std::lock_guard lock(shard.mutex);
    auto it = shard.sets.find(key);
    if (it != shard.sets.end()) {
      if ((*it)->TryRef()) return *it;
      shard.sets.erase(it);  // dying; it will see that the entry is no longer its own
    }
    const LabelSet* set = LabelSet::New(key.hash, sorted);
    shard.sets.insert(set);
    return set;
  }

  void Remove(const LabelSet* set) {
    Shard& shard = ShardOf(set->hash_);
    std::lock_guard lock(shard.mutex);
    auto it = shard.sets.find(Key{set->hash_, set->labels()});
    if (it != shard.sets.end() && *it == set) shard.sets.erase(it);
  }

  size_t Count() {
    size_t count = 0;
    for (Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      count += shard.sets.size();
    }
    return count;
  }

 private:
  struct Key {
    size_t hash;
    absl::Span<const Label> labels;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Key& key) const { return key.hash; }
    size_t operator()(const LabelSet* set) const { return set->hash_; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const LabelSet* a, const LabelSet* b) const { return a == b; }
    bool operator()(const LabelSet* a, const Key& b) const {
      return a->hash_ == b.hash && a->labels() == b.labels;
    }
    bool operator()(const Key& a, const LabelSet* b) const { return (*this)(b, a); }
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    absl::flat_hash_set<const LabelSet*, Hash, Equal> sets;
  };

  // The top bits: the hash set takes the low ones.
  Shard& ShardOf(size_t hash) { return shards_[hash >> (64 - 4)]; }

  std::array<Shard, 16> shards_;
};

const LabelSet* LabelSet::Make(const LabelSet* base, absl::Span<const Label> labels) {
  Canonical canonical(base == nullptr ? absl::Span<const Label>() : base->labels());
  for (const Label& label : labels) canonical.Add(label);
  if (canonical.labels().empty()) return nullptr;
  return LabelTable::Get().FindOrMake(canonical.labels());
}

const LabelSet* LabelSet::FromTag(const Tag* tag) { return dynamic_cast<const LabelSet*>(tag); }

const LabelSet* LabelSet::New(size_t hash, absl::Span<const Label> sorted) {
  size_t bytes = sizeof(LabelSet) + sorted.size() * sizeof(Label);
  for (const Label& label : sorted) bytes += label.key.size() + label.value.size();
  return new (::operator new(bytes)) LabelSet(hash, sorted);
}

LabelSet::LabelSet(size_t hash, absl::Span<const Label> sorted)
    : hash_(hash), size_(sorted.size()) {
  static_assert(sizeof(LabelSet) % alignof(Label) == 0 && alignof(Label) <= alignof(LabelSet));
  Label* pair = reinterpret_cast<Label*>(this + 1);
  char* bytes = reinterpret_cast<char*>(pair + size_);
  const auto copy = [&bytes](std::string_view text) {
    char* const at = bytes;
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    bytes += text.size();
    return std::string_view(at, text.size());
  };
  for (const Label& label : sorted) {
    const std::string_view key = copy(label.key);
    new (pair++) Label{key, copy(label.value)};
  }
}

LabelSet::~LabelSet() { LabelTable::Get().Remove(this); }

std::optional<std::string_view> LabelSet::Get(std::string_view key) const {
  const Label* it = std::lower_bound(begin(), end(), key,
                                     [](const Label& l, std::string_view k) { return l.key < k; });
  if (it == end() || it->key != key) return std::nullopt;
  return it->value;
}

std::string LabelSet::ToString() const {
  std::string result = "{";
  for (const Label& label : labels()) {
    if (result.size() > 1) result += ", ";
    result += internal::QuoteUtf8(label.key);
    result += ':';
    result += internal::QuoteUtf8(label.value);
  }
  result += '}';
  return result;
}

size_t LabelSet::LiveCountForTesting() { return LabelTable::Get().Count(); }

Labels Labels::FromTag(const TagRef& tag) {
  if (LabelSet::FromTag(tag.get()) == nullptr) return {};
  Labels labels;
  labels.tag_ = tag;
  return labels;
}

Labels Labels::Without(std::string_view key) const {
  if (!Get(key).has_value()) return *this;
  absl::InlinedVector<Label, 8> rest;
  for (const Label& label : pairs()) {
    if (label.key != key) rest.push_back(label);
  }
  return Of(rest);
}

}  // namespace curg
