// SPDX-License-Identifier: Apache-2.0
//
// LabelSet: what a tag means here, an immutable sorted set of key/value pairs. Labels is the handle
// to use; the set itself is for those who hold a bare tag (the exporters).
#pragma once

#include <cstddef>
#include <initializer_list>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "runtime/tag.h"

namespace curg {

// One pair. Any UTF-8, empty and NUL included.
struct Label {
  std::string_view key;
  std::string_view value;

  friend bool operator==(const Label&, const Label&) = default;
};

// One block of memory: this header, the array of pairs, then their bytes.
//
// Equal sets are the same object ("interned"): a scope entered a million times makes one set, the
// profiler's map, which knows tags by address alone, stays as small as the number of different
// sets, and comparing is comparing pointers. The table owns nothing, so a set dies with its last
// reference and nothing piles up:
//   - Make looks up under the table's lock and takes a reference unless the count is zero already.
//   - the destructor takes the same lock and removes the entry if it is still its own.
//   - a set found dying is replaced in the table by a new equal one; the two never share memory.
// Making a set that exists allocates nothing (up to 8 pairs); making a new one allocates one block.
// Rejected: no interning (a set a file, or a set a request, fills the profiler's bounded map with
// equal stacks); a table that owns its sets (a label with a request id leaks).
//
// Thread-safe, as it never changes.
class LabelSet final : public Tag {
 public:
  // The set of `base` (null: none) and `labels`. Of equal keys, the last counts. Invalid UTF-8 is
  // repaired, never refused: each offending byte becomes U+FFFD, and keys that are equal then are
  // equal. The caller owns a reference; null when there are no pairs at all.
  // Thread-safe. Not async-signal-safe: locks and allocates. Blocks: the thread, briefly.
  static const LabelSet* Make(const LabelSet* base, absl::Span<const Label> labels);

  // The set that `tag` is, or null when it is null or was not made here.
  static const LabelSet* FromTag(const Tag* tag);

  // The pairs, sorted by key bytes; keys differ.
  absl::Span<const Label> labels() const { return {begin(), size_}; }
  const Label* begin() const { return reinterpret_cast<const Label*>(this + 1); }
  const Label* end() const { return begin() + size_; }
  size_t size() const { return size_; }

  // The value of `key`; valid while the set lives.
  std::optional<std::string_view> Get(std::string_view key) const;

  // {"key":"value", "key2":"value2"}, quoted so that no value can break the line.
  std::string ToString() const;

  // How many sets are alive. For tests that show that nothing leaks.
  static size_t LiveCountForTesting();

 private:
  friend class LabelTable;

  LabelSet(size_t hash, absl::Span<const Label> sorted);
  ~LabelSet() override;

  // The block is larger than sizeof(LabelSet), so it must go back unsized.
  static void operator delete(void* block) { ::operator delete(block); }
  static const LabelSet* New(size_t hash, absl::Span<const Label> sorted);

  const size_t hash_;
  const size_t size_;
};

// Labels: a value that shares one LabelSet, or none. As cheap to copy as a pointer.
// Thread-compatible; the set it shares is thread-safe.
class Labels {
 public:
  // A range of Label, as a container is.
  using value_type = Label;
  using const_iterator = const Label*;
  using iterator = const_iterator;
  using const_reference = const Label&;

  // No labels.
  Labels() = default;

  // The pairs given; see LabelSet::Make for duplicates and invalid UTF-8.
  //   Labels::Of({{"phase", "read"}, {"ext", extension}})
  static Labels Of(std::initializer_list<Label> labels) {
    return Of({labels.begin(), labels.size()});
  }
  static Labels Of(absl::Span<const Label> labels) {
    return Labels(LabelSet::Make(nullptr, labels));
  }

  // The labels that `tag` means; none when it means none.
  static Labels FromTag(const TagRef& tag);

  // These labels and those given, which win where keys are equal.
  Labels With(std::initializer_list<Label> labels) const {
    return With({labels.begin(), labels.size()});
  }
  Labels With(absl::Span<const Label> labels) const {
    return Labels(LabelSet::Make(set(), labels));
  }
  Labels With(const Labels& other) const { return With(other.pairs()); }

  // These labels but for `key`.
  Labels Without(std::string_view key) const;

  // The value of `key`. Valid while a copy of these labels lives.
  std::optional<std::string_view> Get(std::string_view key) const {
    return set() == nullptr ? std::nullopt : set()->Get(key);
  }

  // The pairs, sorted by key. Valid while a copy of these labels lives.
  absl::Span<const Label> pairs() const {
    return set() == nullptr ? absl::Span<const Label>() : set()->labels();
  }
  const Label* begin() const { return pairs().begin(); }
  const Label* end() const { return pairs().end(); }
  size_t size() const { return pairs().size(); }
  bool empty() const { return set() == nullptr; }

  // "{}" when there are none.
  std::string ToString() const { return set() == nullptr ? "{}" : set()->ToString(); }

  // Labels are what a task's tag is made of: curg::Go({.tag = Labels::Of(...)}, fn).
  operator TagRef() const& { return tag_; }         // NOLINT(google-explicit-constructor)
  operator TagRef() && { return std::move(tag_); }  // NOLINT(google-explicit-constructor)

  // Equal sets are one object, so this compares pointers.
  friend bool operator==(const Labels&, const Labels&) = default;

 private:
  // Takes over the caller's reference.
  explicit Labels(const LabelSet* set) : tag_(TagRef::Adopt(set)) {}

  // Nothing but a LabelSet is ever put into tag_.
  const LabelSet* set() const { return static_cast<const LabelSet*>(tag_.get()); }

  TagRef tag_;
};

}  // namespace curg
