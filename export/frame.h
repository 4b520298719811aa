// SPDX-License-Identifier: Apache-2.0
//
// Frame: one line of a stack as people read it, and where frames come from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace curg {

struct Frame {
  std::string function;     // demangled and simplified; empty when unknown
  std::string system_name;  // as linkers know it; empty when unknown
  std::string file;         // of the code executed; empty when unknown
  int line = 0;             // 0 when unknown
  int start_line = 0;       // of the function's declaration; 0 when unknown
  bool inlined = false;     // into the next frame

  friend bool operator==(const Frame&, const Frame&) = default;
};

// Turns addresses into frames: the Symbolizer, or a table in a test.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  // The frames at the instruction that contains `address`: the innermost inlined function first,
  // the one that holds the code last. Empty when nothing is known. Valid while the source lives. A
  // return address must be decremented by the caller, so that it is inside of the call.
  virtual const std::vector<Frame>& FramesAt(uintptr_t address) = 0;
};

}  // namespace curg
