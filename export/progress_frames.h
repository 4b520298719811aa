// SPDX-License-Identifier: Apache-2.0
//
// ProgressFrames: says how far symbolizing is, when it takes long.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace curg::internal {

// Passes on what `frames` says. Once `patience` is over it tells `say` a line, about once a second;
// and an empty one at its end, if it has told any.
// Thread-compatible.
class ProgressFrames final : public FrameSource {
 public:
  using Say = std::function<void(const std::string& line)>;

  ProgressFrames(FrameSource& frames, size_t addresses, Say say = OnTerminal(),
                 std::chrono::nanoseconds patience = std::chrono::seconds(2));
  ~ProgressFrames() override;
  ProgressFrames(const ProgressFrames&) = delete;
  ProgressFrames& operator=(const ProgressFrames&) = delete;

  const std::vector<Frame>& FramesAt(uintptr_t address) override;

  // Rewrites one line of standard error; null where that is no terminal.
  static Say OnTerminal();

 private:
  FrameSource& frames_;
  const size_t addresses_;
  const Say say_;
  std::chrono::steady_clock::time_point next_;
  size_t done_ = 0;
  bool said_ = false;
};

// How many different addresses a profile's stacks have.
size_t AddressCount(const CpuProfile& profile);

}  // namespace curg::internal
