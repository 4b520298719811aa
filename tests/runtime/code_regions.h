// SPDX-License-Identifier: Apache-2.0
//
// CodeRegions: what kind of code an address is in, for tallies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace curg::internal {

class CodeRegions {
 public:
  // What is loaded now; modules loaded later count as the program.
  // Not async-signal-safe: reads /proc/self/maps.
  CodeRegions();

  // A number below kCount. PLT stubs are a region of their own, in whatever module.
  // Async-signal-safe.
  size_t Of(uintptr_t pc) const;

  static std::string_view Name(size_t region);

  static constexpr size_t kSwitch = 0;
  static constexpr size_t kExceptions = 1;
  static constexpr size_t kCount = 11;

 private:
  struct Range {
    uintptr_t begin;
    uintptr_t end;
    size_t region;
  };
  std::vector<Range> ranges_;
};

// The symbol nearest below `pc`, and its file; for messages.
// Not async-signal-safe.
std::string DescribeAddress(uintptr_t pc);

}  // namespace curg::internal
