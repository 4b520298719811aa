// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_pool.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/check.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

namespace curg::internal {
namespace {

constexpr size_t kPage = StackSlot::kGuardBytes;
constexpr int kThisProcess = -10001;  // PIDFD_SELF_THREAD_GROUP, Linux 6.14: right after a fork,
                                      // too
constexpr size_t kSlabBytes = size_t{64} << 20;
constexpr size_t kSlotBytesMin = size_t{16} << 10;  // a frame of printf alone can take 2 KiB, a
                                                    // signal 3
constexpr size_t kSlotBytesMax = size_t{1} << 30;

// Reserves `bytes` for stacks, at `at` in place of what is there, or anywhere. Null: refused.
void* MapSlab(void* at, size_t bytes) {
  void* const slab = mmap(
      at, bytes, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | (at != nullptr ? MAP_FIXED : 0), -1,
      0);
  if (slab == MAP_FAILED) return nullptr;
  madvise(slab, bytes, MADV_NOHUGEPAGE);  // refused only by kernels that have no huge pages
  return slab;
}

template <typename Set>
bool Contains(const Set& set, size_t i) {
  return (set[i / 64] >> i % 64 & 1) != 0;
}

template <typename Set>
void Insert(Set& set, size_t i) {
  set[i / 64] |= uint64_t{1} << i % 64;
}

}  // namespace

absl::Status SlotSizeFor(size_t stack_size, size_t* slot_size) {
  if (stack_size < kSlotBytesMin || stack_size > kSlotBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("a task's stack_size of ", stack_size,
                                                   " bytes is out of range; choose ", kSlotBytesMin,
                                                   " to ", kSlotBytesMax));
  }
  *slot_size = std::bit_ceil(stack_size);
  return absl::OkStatus();
}

StackPool::StackPool(size_t slot_size, size_t slots_max)
    : slot_size_(slot_size),
      slots_max_(slots_max),
      slab_slots_(std::clamp<size_t>(kSlabBytes / slot_size, 1, kSlabSlotsMax)),
      slab_bytes_(slab_slots_ * (slot_size + kPage)) {}

StackPool::~StackPool() {
  for (const Slab& slab : slabs_) {
    // Abandoned tasks leave their frames' red zones behind, which the next mapping here must not
    // find.
    ASAN_UNPOISON_MEMORY_REGION(slab.base, slab_bytes_);
    munmap(slab.base, slab_bytes_);
  }
}

absl::Status StackPool::AddSlab() {
  size_t slots = slab_slots_;
  if (slots_max_ != 0) slots = std::min(slots, slots_max_ - std::min(slots_, slots_max_));
  if (slots == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", slots_max_,
                     " task stacks are in use; raise RuntimeOptions::stacks_max or "
                     "wait for tasks to end"));
  }
  void* const mapped = MapSlab(nullptr, slab_bytes_);
  if (mapped == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot reserve ", slab_bytes_,
                     " bytes of address space for task stacks: ", std::strerror(errno)));
  }
  char* const base = static_cast<char*>(mapped);
  const auto place = std::find_if(by_address_.begin(), by_address_.end(),
                                  [&](uint32_t other) { return slabs_[other].base > base; });
  by_address_.insert(place, static_cast<uint32_t>(slabs_.size()));
  const auto count = static_cast<uint32_t>(slots);
  slabs_.push_back({.base = base, .slots = count, .cold = count});
  for (size_t i = 0; i < slots; ++i) Insert(slabs_.back().is_cold, i);
  cold_ += slots;
  credits_ += slots;
  slots_ += slots;
  return absl::OkStatus();
}

absl::Status StackPool::TakeCredits(size_t wanted, size_t* taken) {
  std::lock_guard lock(lock_);
  if (credits_ == 0) {
    if (absl::Status status = AddSlab(); !status.ok()) return status;
  }
  *taken = std::min(wanted, credits_);
  credits_ -= *taken;
  return absl::OkStatus();
}

void StackPool::ReturnCredits(size_t count) {
  std::lock_guard lock(lock_);
  credits_ += count;
}

// The cheap guard costs no mapping. On kernels without it, and on locked memory (EINVAL), a guard
// is a mapping of its own, of which the kernel allows vm.max_map_count.
bool StackPool::InstallGuard(char* page) {
  if (!guard_pages_.load(std::memory_order_relaxed)) {
    if (madvise(page, kPage, MADV_GUARD_INSTALL) == 0) return true;
    guard_pages_.store(true, std::memory_order_relaxed);
  }
  return mprotect(page, kPage, PROT_NONE) == 0;
}

// Whose guards are to be installed now: that of slot `number`, which is not cold any more, and of
// the next cold ones. Another thread may take one of these before its guard is there, some
// microseconds later.
size_t StackPool::TakeGuards(Slab& slab, size_t number, std::span<char*, kGuardsAtOnce> pages) {
  size_t count = 0;
  const auto take = [&](size_t i) {
    Insert(slab.is_guarded, i);
    pages[count++] = slab.base + i * (slot_size_ + kPage);
  };
  take(number);
  if (guard_pages_.load(std::memory_order_relaxed)) return count;  // mappings are few
  const size_t most = number < kGuardsAtOnce ? kGuardsAtOnceFirst : kGuardsAtOnce;
  for (size_t i = number + 1; i < slab.slots && count < most; ++i) {
    if (Contains(slab.is_cold, i) && !Contains(slab.is_guarded, i)) take(i);
  }
  return count;
}

// Returns how many were refused.
size_t StackPool::InstallGuards(std::span<char* const> pages) {
  size_t done = 0;
  if (pages.size() > 1 && !guards_one_by_one_.load(std::memory_order_relaxed)) {
    std::array<iovec, kGuardsAtOnce> ranges;
    for (size_t i = 0; i < pages.size(); ++i) ranges[i] = {.iov_base = pages[i], .iov_len = kPage};
    const long bytes = syscall(SYS_process_madvise, kThisProcess, ranges.data(), pages.size(),
                               MADV_GUARD_INSTALL, 0);
    done = bytes > 0 ? static_cast<size_t>(bytes) / kPage : 0;
    if (done < pages.size()) guards_one_by_one_.store(true, std::memory_order_relaxed);
  }
  const auto refused = std::count_if(pages.begin() + static_cast<ptrdiff_t>(done), pages.end(),
                                     [this](char* page) { return !InstallGuard(page); });
  return static_cast<size_t>(refused);
}

// Takes the first cold slot of a slab that has one; returns its number.
size_t StackPool::TakeCold(Slab& slab) {
  slab.touched = true;
  size_t word = 0;
  while (slab.is_cold[word] == 0) ++word;
  const size_t bit = static_cast<size_t>(std::countr_zero(slab.is_cold[word]));
  slab.is_cold[word] &= slab.is_cold[word] - 1;
  --slab.cold;
  --cold_;
  return word * 64 + bit;
}

StackSlot StackPool::TakeSlot() {
  std::unique_lock lock(lock_);
  if (warm() > 0) {
    char* const base = warm_.back();
    warm_.pop_back();
    warm_low_ = std::min(warm_low_, warm());
    return {base, slot_size_};
  }
  CURG_CHECK(cold_ > 0, "every credit has a slot");
  while (slabs_[first_cold_].cold == 0) ++first_cold_;
  const size_t index = first_cold_;
  Slab& slab = slabs_[index];
  const size_t number = TakeCold(slab);
  char* const base = slab.base + number * (slot_size_ + kPage);
  if (Contains(slab.is_guarded, number)) return {base, slot_size_};
  std::array<char*, kGuardsAtOnce> pages;
  const size_t count = TakeGuards(slab, number, pages);
  lock.unlock();
  if (const size_t refused = InstallGuards(std::span(pages).first(count)); refused > 0) {
    lock.lock();
    slabs_[index].unguarded += static_cast<uint32_t>(refused);
    unguarded_ += refused;
  }
  return {base, slot_size_};
}

void StackPool::ReturnSlots(std::span<char* const> bases) {
  std::lock_guard lock(lock_);
  warm_.insert(warm_.end(), bases.begin(), bases.end());
  credits_ += bases.size();
}

void StackPool::TrimSlot(char* base) {
  madvise(base + kPage, slot_size_, MADV_DONTNEED);  // the guard stays
  const auto above =
      std::upper_bound(by_address_.begin(), by_address_.end(), base,
                       [&](char* at, uint32_t slab) { return at < slabs_[slab].base; });
  const size_t index = *std::prev(above);
  Slab& slab = slabs_[index];
  Insert(slab.is_cold, static_cast<size_t>(base - slab.base) / (slot_size_ + kPage));
  ++slab.cold;
  ++cold_;
  first_cold_ = std::min(first_cold_, index);
}

// Page tables of an empty slab, guards included, go back to the kernel. If that refuses, all stays
// as it is.
void StackPool::RemapEmpty(Slab& slab) {
  if (MapSlab(slab.base, slab_bytes_) == nullptr) return;
  unguarded_ -= std::exchange(slab.unguarded, 0);
  slab.is_guarded = {};
  slab.touched = false;
}

// What is taken or returned between two holds of the lock only makes the bound approximate.
bool StackPool::TrimUnused(size_t keep) {
  constexpr size_t kSlotsAHold = 32;
  std::unique_lock lock(lock_);
  const auto let_others_in = [&lock] {
    lock.unlock();
    lock.lock();
  };
  const size_t unused = warm_low_ > keep ? warm_low_ - keep : 0;
  for (size_t trimmed = 0; trimmed < unused && warm() > 0;) {
    TrimSlot(warm_[warm_begin_++]);
    if (++trimmed % kSlotsAHold == 0) let_others_in();
  }
  for (size_t i = 0; unused > 0 && i < slabs_.size(); ++i) {
    if (slabs_[i].cold < slabs_[i].slots || !slabs_[i].touched) continue;
    RemapEmpty(slabs_[i]);
    let_others_in();
  }
  warm_.erase(warm_.begin(), warm_.begin() + static_cast<ptrdiff_t>(std::exchange(warm_begin_, 0)));
  if (unused > 0) warm_.shrink_to_fit();
  warm_low_ = warm();
  return warm() > keep;
}

StackPoolStats StackPool::stats() {
  std::lock_guard lock(lock_);
  return {.slots = slots_,
          .in_pool = warm() + cold_,
          .resident = warm(),
          .unguarded = unguarded_,
          .guard_pages = guard_pages_.load(std::memory_order_relaxed)};
}

void StackCache::Flush() {
  pool_.ReturnSlots(std::span(slots_).first(count_));
  pool_.ReturnCredits(credits_);
  count_ = 0;
  credits_ = 0;
}

absl::Status StackCache::Reserve(StackSlot* slot) {
  if (credits_ == 0 && count_ > 0) {
    *slot = {slots_[--count_], pool_.slot_size()};
    return absl::OkStatus();
  }
  if (credits_ == 0) {
    if (absl::Status status = pool_.TakeCredits(batch_, &credits_); !status.ok()) return status;
  }
  --credits_;
  *slot = {};
  return absl::OkStatus();
}

void StackCache::Unreserve(StackSlot slot) {
  if (slot) {
    Release(slot);
  } else if (pool_.limited()) {
    pool_.ReturnCredits(1);
  } else {
    ++credits_;
  }
}

StackSlot StackCache::Bind() {
  if (count_ == 0) return pool_.TakeSlot();
  // The task's credit stays here in exchange for the one that came with the slot.
  if (++credits_ > 2 * kBatch) {
    pool_.ReturnCredits(kBatch);
    credits_ -= kBatch;
  }
  return {slots_[--count_], pool_.slot_size()};
}

void StackCache::Release(StackSlot slot) {
  if (pool_.limited()) return pool_.ReturnSlot(slot);
  if (count_ == kSlots) {
    // The oldest half goes; the warm half stays.
    pool_.ReturnSlots(std::span(slots_).first<kBatch>());
    std::copy(slots_.begin() + kBatch, slots_.end(), slots_.begin());
    count_ -= kBatch;
  }
  slots_[count_++] = slot.base;
}

}  // namespace curg::internal
