// SPDX-License-Identifier: Apache-2.0
//
// FrameMemory: the frames of addresses that some Symbolizer has found, for the next one. Reading a
// program's debug information takes some 50 ms; a dump every few seconds asks for the same
// addresses each time.
//
// Files are told apart by path and build id, so what is remembered stays true, whatever is loaded
// where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "export/frame.h"

namespace curg::internal {

// Thread-safe. Blocks: the thread, for a moment.
class FrameMemory {
 public:
  explicit FrameMemory(size_t addresses_max) : addresses_max_(addresses_max) {}

  // The process's: some megabytes when full.
  static FrameMemory& OfProcess();

  // `address` is one of the file's. Empty: not remembered.
  std::vector<Frame> Find(const std::string& file, uint64_t address) const;
  // When the memory is full it begins anew.
  void Add(const std::string& file, uint64_t address, const std::vector<Frame>& frames);

 private:
  const size_t addresses_max_;
  mutable std::mutex lock_;
  // guarded by lock_
  absl::flat_hash_map<std::pair<std::string, uint64_t>, std::vector<Frame>> frames_;
};

}  // namespace curg::internal
