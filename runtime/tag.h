// SPDX-License-Identifier: Apache-2.0
//
// Tag: the one opaque thing a task carries for the layers above, and hands down to its children.
// The runtime counts references and copies pointers; what a tag means is known to labels/ (which
// makes them) and to export/ (which opens them).
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace curg {

// An immutable value with a reference count of its own.
// Thread-safe.
class Tag {
 public:
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;

  // Takes `n` references. The caller holds one already, or knows that its owner does.
  // Async-signal-safe.
  void Ref(int64_t n = 1) const {
    refs_.fetch_add(n, std::memory_order_relaxed);  // relaxed: the caller's own reference orders it
  }

  // Gives `n` references back, and destroys the tag with the last one.
  // Not async-signal-safe: may free memory.
  void Unref(int64_t n = 1) const {
    // acq_rel: pairs with itself, so that the last owner sees what all others did before.
    if (refs_.fetch_sub(n, std::memory_order_acq_rel) == n) delete this;
  }

  // The SIGPROF handler hands tags to another thread unseen by the thread sanitizer, because it is
  // built without instrumentation. These show the sanitizer the order that the prof buffer makes:
  // the first before a tag becomes a task's, the second where the buffer's reader gets it.
  // Otherwise no code.
  void ShowRelease() const {
#if defined(__SANITIZE_THREAD__) || defined(CURG_TSAN)
    refs_.fetch_add(0, std::memory_order_release);  // release: pairs with ShowAcquire()
#endif
  }
  void ShowAcquire() const {
#if defined(__SANITIZE_THREAD__) || defined(CURG_TSAN)
    refs_.load(std::memory_order_acquire);  // acquire: pairs with ShowRelease()
#endif
  }

 protected:
  Tag() = default;
  virtual ~Tag() = default;

  // Takes a reference unless the last one is gone already. For a table that finds tags without
  // owning them; whoever destroys the tag must take it out of that table first.
  // Thread-safe.
  bool TryRef() const {
    int64_t refs = refs_.load(std::memory_order_relaxed);  // relaxed: the table's lock orders it
    while (refs > 0) {
      if (refs_.compare_exchange_weak(refs, refs + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }

 private:
  mutable std::atomic<int64_t> refs_{1};
};

// Owns one reference on a Tag, or none.
// Thread-compatible, as a smart pointer.
class TagRef {
 public:
  TagRef() = default;
  // Takes over the reference the caller holds.
  static TagRef Adopt(const Tag* tag) { return TagRef(tag); }
  // Takes a reference of its own; `tag` may be null.
  static TagRef Share(const Tag* tag) {
    if (tag != nullptr) tag->Ref();
    return TagRef(tag);
  }
  TagRef(const TagRef& other) : TagRef(Share(other.tag_)) {}
  TagRef(TagRef&& other) noexcept : tag_(std::exchange(other.tag_, nullptr)) {}
  TagRef& operator=(TagRef other) noexcept {
    std::swap(tag_, other.tag_);
    return *this;
  }
  ~TagRef() {
    if (tag_ != nullptr) tag_->Unref();
  }

  const Tag* get() const { return tag_; }
  // Hands the reference to the caller.
  const Tag* release() { return std::exchange(tag_, nullptr); }
  explicit operator bool() const { return tag_ != nullptr; }
  friend bool operator==(const TagRef&, const TagRef&) = default;

 private:
  explicit TagRef(const Tag* tag) : tag_(tag) {}
  const Tag* tag_ = nullptr;
};

}  // namespace curg
