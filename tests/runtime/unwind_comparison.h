// SPDX-License-Identifier: Apache-2.0
//
// Interrupts mixed work at arbitrary instructions, and walks the stack there both by the tables and
// with libunwind.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "runtime/libunwind.h"
#include "tests/runtime/code_regions.h"

namespace curg::internal {

struct UnwindComparison {
  // How two walks differ.
  enum Difference {
    kTheirsShorter,  // libunwind gave up where the tables went on
    kOursShorter,
    kFrames,  // another frame somewhere
    kDifferences,
  };
  struct Region {
    uint64_t samples = 0;
    uint64_t rooted = 0;  // the tables' walk reached the beginning of the thread
    uint64_t agree = 0;   // the same frames, all of them
    std::array<uint64_t, kDifferences> differ = {};
    uintptr_t example = 0;  // where they differed
  };
  std::array<Region, CodeRegions::kCount> regions;  // by the leaf
  // Sums.
  uint64_t samples = 0;
  uint64_t rooted = 0;
  uint64_t agree = 0;

  // While an exception is thrown, libgcc overwrites the frame its own caller is found by: what is
  // right there, nobody knows.
  uint64_t DifferencesOutsideThrows() const;
  // One line for each region and cause.
  std::string Table() const;
};

// At least `samples` of them, each 100 us of real time after the one before.
// Requires: RefreshUnwindTables. One caller at a time. Not under the address or thread sanitizer,
// whose runtimes defer signals.
UnwindComparison CompareWithLibUnwind(const LibUnwind& reference, uint64_t samples);

}  // namespace curg::internal
