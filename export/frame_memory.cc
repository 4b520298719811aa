// SPDX-License-Identifier: Apache-2.0
#include "export/frame_memory.h"

namespace curg::internal {

FrameMemory& FrameMemory::OfProcess() {
  constexpr size_t kAddressesMax = 16384;
  static FrameMemory* const memory = new FrameMemory(kAddressesMax);  // dumps come to the end
  return *memory;
}

std::vector<Frame> FrameMemory::Find(const std::string& file, uint64_t address) const {
  const std::lock_guard lock(lock_);
  const auto it = frames_.find(std::pair(file, address));
  return it != frames_.end() ? it->second : std::vector<Frame>();
}

void FrameMemory::Add(const std::string& file, uint64_t address, const std::vector<Frame>& frames) {
  const std::lock_guard lock(lock_);
  if (frames_.size() >= addresses_max_) frames_.clear();
  frames_.try_emplace(std::pair(file, address), frames);
}

}  // namespace curg::internal
