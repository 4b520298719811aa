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

}  // namespace curg::internal
