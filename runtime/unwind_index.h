// SPDX-License-Identifier: Apache-2.0
//
// UnwindIndex: the tables of all modules, published for walkers in signal handlers.
//
//   RefreshUnwindTables --Publish--> [index] --UnwindReader::Find--> WalkStack
//
// Invariant  A set of tables is immutable from Publish on. It is freed when every walk that may
//            have seen it has ended, and not before.
// Protocol   A walk counts itself in one of kSlots counters, then loads the index, and discounts
//            itself at its end. Publish stores the new index, then looks at the counters: once each
//            of them has been seen at zero after the store (not all at the same time), the old set
//            is freed. Whoever loaded the old index had counted itself before the store, so its
//            counter cannot have been zero since unless it left; whoever counts itself later sees
//            the new index.
// Ordering   The count and the load, the store and the look: all sequentially consistent, for each
//            side writes one word and then reads the other's. The discount is a release that pairs
//            with the look, so that what a walk read happens before the free.
// Bounds     Nothing waits: what is still in use stays on a list that the next Publish or Collect
//            tries again. A thread that is stopped inside a walk (by a debugger, say) keeps the
//            sets replaced since; so does a fork() at that moment, in the child.
// Rejected   One counter (all handlers run at the same tick and would share its cache line); hazard
//            pointers (a slot per thread, and threads the runtime does not know walk too); never
//            freeing (a program that reloads its plug-ins would grow with every reload).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/module_table.h"

namespace curg::internal {

// A set of tables, ascending by address.
class UnwindIndex {
 public:
  explicit UnwindIndex(std::vector<std::shared_ptr<const ModuleTable>> tables);

  // The table whose text `pc` is in; null if none.
  // Async-signal-safe.
  const ModuleTable* Find(uintptr_t pc) const noexcept;

  const std::vector<std::shared_ptr<const ModuleTable>>& tables() const { return tables_; }

 private:
  struct Entry {
    uintptr_t begin;
    const ModuleTable* table;
  };
  std::vector<std::shared_ptr<const ModuleTable>> tables_;
  std::vector<Entry> entries_;
  // The vector's elements, for the handler.
  const Entry* entry_data_ = nullptr;
  size_t entry_count_ = 0;
};

// Where the current index is published.
class UnwindIndexPublisher {
 public:
  constexpr UnwindIndexPublisher() = default;
  UnwindIndexPublisher(const UnwindIndexPublisher&) = delete;
  UnwindIndexPublisher& operator=(const UnwindIndexPublisher&) = delete;

  // Replaces the index, and frees earlier ones that nobody reads any more.
  // Not async-signal-safe. Owner only: the caller excludes other calls of Publish and Collect. May
  // run in parallel with readers.
  void Publish(std::unique_ptr<const UnwindIndex> index);

  // Frees what nobody reads any more. As Publish.
  void Collect();

  // The one published last; null before the first.
  const UnwindIndex* current() const;

  // Replaced indexes that are not freed yet. As Publish.
  size_t retired_count() const { return retired_.size(); }

 private:
  friend class UnwindReader;

  static constexpr size_t kSlots = 64;  // as many as bits in Retired::waiting
  static constexpr size_t kCacheLine = 64;

  struct alignas(kCacheLine) Slot {
    std::atomic<uint32_t> walks{0};
  };
  struct Retired {
    std::unique_ptr<const UnwindIndex> index;
    uint64_t waiting;  // the slots not seen at zero since it was replaced
  };

  // shared
  std::atomic<const UnwindIndex*> index_{nullptr};
  Slot slots_[kSlots];
  // owned by the caller of Publish
  std::vector<Retired> retired_;
};

// One walk's view of the tables. Lives on the stack of the walk; everything found through it is
// valid as long as it is.
// Async-signal-safe throughout. Owner only: the thread that made it.
class UnwindReader {
 public:
  // `guess`: the table of a permanent module, which the first look may well be for; or null.
  explicit UnwindReader(UnwindIndexPublisher& publisher,
                        const ModuleTable* guess = nullptr) noexcept;
  ~UnwindReader();
  UnwindReader(const UnwindReader&) = delete;
  UnwindReader& operator=(const UnwindReader&) = delete;

  struct Found {
    UnwindWord word;
    const FrameRule* rule = nullptr;  // if word.kind() is kSide; valid until the next Find
    bool permanent = false;           // the same is true of this program counter for ever
  };

  // How to leave the frame whose instruction has a byte at `pc`. By the module's table, if the
  // module is still the one it was compiled from, which is asked once a walk, unless it cannot be
  // unloaded; else by its .eh_frame.
  Found Find(uintptr_t pc) noexcept;

  // The first table that looks went by beside the guess; null: none did.
  const ModuleTable* FirstTable() const noexcept { return confirmed_[0]; }

 private:
  static constexpr int kConfirmedMax = 4;

  const ModuleTable* FindTable(uintptr_t pc, ModuleIdentity* identity, bool* loaded) noexcept;
  Found Decode(const ModuleIdentity& identity, uintptr_t pc) noexcept;

  UnwindIndexPublisher::Slot& slot_;
  const UnwindIndex* index_;
  // Tables found to be those of what is loaded, in a ring: frames come in runs of one module.
  const ModuleTable* confirmed_[kConfirmedMax] = {};
  int confirmed_next_ = 0;
  FrameRule decoded_;
};

// The process's.
UnwindIndexPublisher& ProcessUnwindIndex() noexcept;

}  // namespace curg::internal
