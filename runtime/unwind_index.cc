// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_index.h"

#include <algorithm>
#include <utility>

#include "runtime/cfi_program.h"

namespace curg::internal {
namespace {

constinit UnwindIndexPublisher g_index;

// Spreads walks over the slots: by the address of something on their stack.
size_t SlotOf(const void* on_stack) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  constexpr int kSlotBits = 6;
  return (reinterpret_cast<uintptr_t>(on_stack) >> 4) * kGolden >> (64 - kSlotBits);
}

}  // namespace

UnwindIndexPublisher& ProcessUnwindIndex() noexcept { return g_index; }

UnwindIndex::UnwindIndex(std::vector<std::shared_ptr<const ModuleTable>> tables)
    : tables_(std::move(tables)) {
  std::sort(tables_.begin(), tables_.end(),
            [](const auto& a, const auto& b) { return a->begin() < b->begin(); });
  for (const auto& table : tables_) entries_.push_back({table->begin(), table.get()});
  entry_data_ = entries_.data();
  entry_count_ = entries_.size();
}

[[gnu::hot]] const ModuleTable* UnwindIndex::Find(uintptr_t pc) const noexcept {
  size_t low = 0;  // those before it begin at or before pc; those from `high` on begin behind it
  size_t high = entry_count_;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (entry_data_[middle].begin <= pc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return nullptr;
  const ModuleTable* table = entry_data_[low - 1].table;
  return table->Contains(pc) ? table : nullptr;
}

void UnwindIndexPublisher::Publish(std::unique_ptr<const UnwindIndex> index) {
  retired_.reserve(retired_.size() + 1);  // the only thing that may fail, while nothing has changed
  // seq_cst: before the looks at the counters in Collect, see the protocol.
  const UnwindIndex* old = index_.exchange(index.release(), std::memory_order_seq_cst);
  if (old != nullptr) {
    retired_.push_back({std::unique_ptr<const UnwindIndex>(old), ~uint64_t{0}});
  }
  Collect();
}

void UnwindIndexPublisher::Collect() {
  if (retired_.empty()) return;
  uint64_t busy = 0;
  for (size_t i = 0; i < kSlots; ++i) {
    // seq_cst: see the protocol. Pairs with the release in ~UnwindReader.
    if (slots_[i].walks.load(std::memory_order_seq_cst) != 0) busy |= uint64_t{1} << i;
  }
  for (Retired& retired : retired_) retired.waiting &= busy;
  std::erase_if(retired_, [](const Retired& retired) { return retired.waiting == 0; });
}

const UnwindIndex* UnwindIndexPublisher::current() const {
  return index_.load(std::memory_order_acquire);  // acquire: pairs with the exchange in Publish
}

[[gnu::hot]] UnwindReader::UnwindReader(UnwindIndexPublisher& publisher,
                                        const ModuleTable* guess) noexcept
    : slot_(publisher.slots_[SlotOf(this)]) {
  confirmed_[kConfirmedMax - 1] = guess;
  // seq_cst: counted before the index is loaded; pairs with Publish, see the protocol.
  slot_.walks.fetch_add(1, std::memory_order_seq_cst);
  index_ = publisher.index_.load(std::memory_order_seq_cst);
}

[[gnu::hot]] UnwindReader::~UnwindReader() {
  // release: pairs with the look in Collect, which frees what this walk read.
  slot_.walks.fetch_sub(1, std::memory_order_release);
}

[[gnu::hot]] UnwindReader::Found UnwindReader::Find(uintptr_t pc) noexcept {
  ModuleIdentity identity;
  bool loaded = false;
  const ModuleTable* table = FindTable(pc, &identity, &loaded);
  if (table == nullptr) return loaded ? Decode(identity, pc) : Found{};
  const UnwindWord word = table->Find(pc);
  return {word, word.kind() == UnwindWord::Kind::kSide ? &table->Side(word) : nullptr,
          table->permanent()};
}

// A table to be trusted, or what is loaded at `pc` instead.
[[gnu::hot]] const ModuleTable* UnwindReader::FindTable(uintptr_t pc, ModuleIdentity* identity,
                                                        bool* loaded) noexcept {
  for (const ModuleTable* table : confirmed_) {
    if (table != nullptr && table->Contains(pc)) return table;
  }
  const ModuleTable* table = index_ == nullptr ? nullptr : index_->Find(pc);
  if (table == nullptr || !table->permanent()) {
    *loaded = FindModule(pc, identity);
    if (!*loaded || table == nullptr || !table->IsCurrent(*identity)) return nullptr;
  }
  confirmed_[confirmed_next_] = table;
  confirmed_next_ = (confirmed_next_ + 1) % kConfirmedMax;
  return table;
}

UnwindReader::Found UnwindReader::Decode(const ModuleIdentity& identity, uintptr_t pc) noexcept {
  if (!FindFrameRule(identity.eh_frame(), pc, &decoded_)) return {};
  UnwindWord word;
  if (UnwindWord::Encode(decoded_, &word)) return {word};
  return {UnwindWord(UnwindWord::Kind::kSide), &decoded_};
}

}  // namespace curg::internal
