// SPDX-License-Identifier: Apache-2.0
#include "profiler/thread_sampler.h"

namespace curg::internal {

constinit ThreadSamplerTable thread_samplers;

ThreadSampler* ThreadSamplerTable::At(size_t index) {
  if (index >= kChunk * kChunks) return nullptr;
  std::atomic<ThreadSampler*>& slot = chunks_[index / kChunk];
  ThreadSampler* chunk = slot.load(std::memory_order_relaxed);  // relaxed: one caller at a time
  if (chunk == nullptr) {
    chunk = new ThreadSampler[kChunk];
    for (size_t i = 0; i < kChunk; ++i) {
      chunk[i].index = static_cast<uint32_t>(index / kChunk * kChunk + i);
    }
    slot.store(chunk, std::memory_order_release);  // release: pairs with the acquire in Find()
  }
  return &chunk[index % kChunk];
}

constinit DescriptorTickets descriptor_tickets;

bool DescriptorTickets::Set(int fd, uint64_t ticket) {
  const auto index = static_cast<size_t>(fd);
  if (fd < 0 || index >= kChunk * kChunks) return false;
  std::atomic<std::atomic<uint64_t>*>& slot = chunks_[index / kChunk];
  // relaxed: one caller at a time
  std::atomic<uint64_t>* chunk = slot.load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    chunk = new std::atomic<uint64_t>[kChunk] {};
    slot.store(chunk, std::memory_order_release);  // release: pairs with the acquire in Get()
  }
  chunk[index % kChunk].store(ticket, std::memory_order_relaxed);
  return true;
}

}  // namespace curg::internal
