// SPDX-License-Identifier: Apache-2.0
//
// Symbolizer: names, files, lines and inlined functions for the addresses of a profile.
//
// What it knows depends on what it finds, mapping by mapping: debug information (in the file or
// split off), else the file's symbols, else nothing, and the address with the mapping's build id
// must do. It never downloads anything.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/types/span.h"
#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace curg {

struct SymbolizerOptions {
  // Where debug files that were split off are installed.
  std::vector<std::string> debug_roots = {"/usr/lib/debug"};
  // What one of them has found is there for the next, in the whole process (export/frame_memory.h).
  // For dumps, which are made of the same few places again and again.
  bool remember = false;
};

// Opens a file when the first address in it is asked for, reads of it what is needed, and keeps
// both, so one Symbolizer should serve all that is made of one profile. The first look into a large
// unit takes as long as reading its debug information (about 4 ms a megabyte), further ones
// microseconds.
// Thread-compatible. Not async-signal-safe. Blocks: the thread, reading files.
class Symbolizer final : public FrameSource {
 public:
  explicit Symbolizer(absl::Span<const CpuProfileMapping> mappings, SymbolizerOptions options = {});
  ~Symbolizer() override;

  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  const std::vector<Frame>& FramesAt(uintptr_t address) override;

 private:
  class Module;

  const CpuProfileMapping* MappingAt(uintptr_t address) const;
  Module& ModuleOf(const CpuProfileMapping& mapping);

  const SymbolizerOptions options_;
  std::vector<CpuProfileMapping> mappings_;                            // sorted by start
  absl::flat_hash_map<std::string, std::unique_ptr<Module>> modules_;  // by path and build id
  absl::node_hash_map<uintptr_t, std::vector<Frame>> frames_;
};

}  // namespace curg
