// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_buf_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <span>

namespace curg::internal {

ProfBuf* NewProfBuf(size_t depth_max) {
  void* const words = mmap(nullptr, kProfBufBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (words == MAP_FAILED) return nullptr;
  // Rings lie side by side: a huge page would be eight of them.
  madvise(words, kProfBufBytes, MADV_NOHUGEPAGE);  // refused only by kernels that have none
  return new ProfBuf({static_cast<uint64_t*>(words), kProfBufBytes / sizeof(uint64_t)}, depth_max);
}

void DeleteProfBuf(ProfBuf* buffer) {
  const std::span<uint64_t> words = buffer->words();
  delete buffer;
  munmap(words.data(), words.size_bytes());
}

void GiveBackPages(ProfBuf& buffer) {
  constexpr uintptr_t kPage = 4096;
  constexpr size_t kWordsKept = kProfBufBytesKept / sizeof(uint64_t);
  if (buffer.reach() <= kWordsKept) return;
  const auto beyond = reinterpret_cast<uintptr_t>(buffer.words().data() + kWordsKept);
  for (const std::span<uint64_t> held : buffer.Held()) {
    const auto begin = reinterpret_cast<uintptr_t>(held.data());
    const uintptr_t first = (std::max(begin, beyond) + kPage - 1) & ~(kPage - 1);
    const uintptr_t end = (begin + held.size_bytes()) & ~(kPage - 1);
    if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
  }
}

}  // namespace curg::internal
