// SPDX-License-Identifier: Apache-2.0
//
// PageAllocator: for containers that are sometimes large and must then give their memory back.
// malloc raises its threshold for mappings each time a large block is freed, and keeps megabytes
// for each thread.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>

namespace curg::internal {

// A standard allocator: blocks of 8 KiB and more are mappings of their own, smaller ones the
// heap's.
// Thread-safe.
template <typename T>
struct PageAllocator {
  using value_type = T;

  PageAllocator() = default;
  template <typename U>
  PageAllocator(const PageAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t n) {
    if (n * sizeof(T) < kMapped) return std::allocator<T>().allocate(n);
    void* const block =
        mmap(nullptr, n * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(block);
  }

  void deallocate(T* block, size_t n) {
    if (n * sizeof(T) < kMapped) return std::allocator<T>().deallocate(block, n);
    munmap(block, n * sizeof(T));
  }

  friend bool operator==(const PageAllocator&, const PageAllocator&) { return true; }

 private:
  static constexpr size_t kMapped = size_t{8} << 10;
};

}  // namespace curg::internal
