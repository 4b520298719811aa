// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_pool.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "runtime/check.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13
#endif

namespace curg::internal {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSlabBytes = size_t{64} << 20;
constexpr size_t kSlotBytesMin = size_t{16} << 10;  // a frame of printf alone can take 2 KiB, a signal 3
constexpr size_t kSlotBytesMax = size_t{1} << 30;

}  // namespace

StackBounds StackSlot::usable() const {
  const uintptr_t low = reinterpret_cast<uintptr_t>(base);
  return {low + kPage, low + kPage + size};
}

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
      slab_slots_(std::max<size_t>(1, kSlabBytes / slot_size)),
      slab_bytes_(slab_slots_ * (slot_size + kPage)) {}

StackPool::~StackPool() {
  for (char* slab : slabs_) {
    // Abandoned tasks leave their frames' red zones behind, which the next mapping here must not find.
    ASAN_UNPOISON_MEMORY_REGION(slab, slab_bytes_);
    munmap(slab, slab_bytes_);
  }
}

absl::Status StackPool::AddSlab() {
  size_t slots = slab_slots_;
  if (slots_max_ != 0) slots = std::min(slots, slots_max_ - std::min(slots_, slots_max_));
  if (slots == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", slots_max_, " task stacks are in use; raise RuntimeOptions::stacks_max or "
                     "wait for tasks to end"));
  }
  void* slab = mmap(nullptr, slab_bytes_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (slab == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot reserve ", slab_bytes_, " bytes of address space for task stacks: ",
                     std::strerror(errno)));
  }
  madvise(slab, slab_bytes_, MADV_NOHUGEPAGE);  // refused only by kernels that have no huge pages
  slabs_.push_back(static_cast<char*>(slab));
  free_.reserve(free_.size() + slots);
  for (size_t i = slots; i-- > 0;) {
    free_.push_back({.slot = {static_cast<char*>(slab) + i * (slot_size_ + kPage), slot_size_}});
  }
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

// The cheap guard costs no mapping. On kernels without it, and on locked memory (EINVAL), a guard is
// a mapping of its own, of which the kernel allows vm.max_map_count.
bool StackPool::InstallGuard(char* page) {
  if (!guard_pages_.load(std::memory_order_relaxed)) {
    if (madvise(page, kPage, MADV_GUARD_INSTALL) == 0) return true;
    guard_pages_.store(true, std::memory_order_relaxed);
  }
  return mprotect(page, kPage, PROT_NONE) == 0;
}

StackSlot StackPool::TakeSlot() {
  std::unique_lock lock(lock_);
  CURG_CHECK(!free_.empty(), "every credit has a slot");
  FreeSlot taken = free_.back();
  free_.pop_back();
  if (taken.resident) resident_low_ = std::min(resident_low_, --resident_);
  if (taken.guarded) return taken.slot;
  lock.unlock();
  const bool guarded = InstallGuard(taken.slot.base);
  if (!guarded) {
    lock.lock();
    ++unguarded_;
  }
  return taken.slot;
}

void StackPool::ReturnSlots(const StackSlot* slots, size_t count) {
  std::lock_guard lock(lock_);
  for (size_t i = 0; i < count; ++i) {
    free_.push_back({.slot = slots[i], .guarded = true, .resident = true});
  }
  credits_ += count;
  resident_ += count;
}

// The top of the vector is taken first, so the coldest resident slots lie lowest. What is taken or
// returned between two holds of the lock only makes the bound approximate.
bool StackPool::TrimUnused(size_t keep) {
  constexpr size_t kSlotsAHold = 32;
  std::unique_lock lock(lock_);
  const size_t unused = resident_low_ > keep ? resident_low_ - keep : 0;
  size_t trimmed = 0;
  for (size_t i = 0; i < free_.size() && trimmed < unused; ++i) {
    if (!free_[i].resident) continue;
    const StackBounds usable = free_[i].slot.usable();
    madvise(reinterpret_cast<void*>(usable.low), usable.high - usable.low, MADV_DONTNEED);
    free_[i].resident = false;
    --resident_;
    if (++trimmed % kSlotsAHold == 0) {
      lock.unlock();
      lock.lock();
    }
  }
  resident_low_ = resident_;
  return resident_ > keep;
}

StackPoolStats StackPool::stats() {
  std::lock_guard lock(lock_);
  return {.slots = slots_, .in_pool = free_.size(), .unguarded = unguarded_, .guard_pages = guard_pages_.load(std::memory_order_relaxed)};
}

void StackCache::Flush() {
  pool_.ReturnSlots(slots_, count_);
  pool_.ReturnCredits(credits_);
  count_ = 0;
  credits_ = 0;
}

absl::Status StackCache::Reserve(StackSlot* slot) {
  if (credits_ == 0 && count_ > 0) {
    *slot = slots_[--count_];
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
  return slots_[--count_];
}

void StackCache::Release(StackSlot slot) {
  if (pool_.limited()) return pool_.ReturnSlots(&slot, 1);
  if (count_ == kSlots) {
    // The oldest half goes; the warm half stays.
    pool_.ReturnSlots(slots_, kBatch);
    std::copy(slots_ + kBatch, slots_ + kSlots, slots_);
    count_ -= kBatch;
  }
  slots_[count_++] = slot;
}

}  // namespace curg::internal
