// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/hog.h"

#include <algorithm>

// The linker marks where a section that is named like an identifier begins and ends.
extern "C" {
extern const char __start_curg_hog_a[];
extern const char __stop_curg_hog_a[];
extern const char __start_curg_hog_b[];
extern const char __stop_curg_hog_b[];
}

namespace curg::internal {
namespace {

[[gnu::always_inline]] inline void Spin() {
  volatile uint64_t sink = 1;
  for (int i = 0; i < 8000; ++i) sink = sink * 3 + 1;
}

// The end is not within: one section's end is the other's beginning. No function here ends in a
// call, whose return address would be there.
bool Within(uintptr_t pc, const char* start, const char* stop) {
  return reinterpret_cast<uintptr_t>(start) <= pc && pc < reinterpret_cast<uintptr_t>(stop);
}

}  // namespace

[[gnu::noinline, gnu::section("curg_hog_a")]] void HogA() { Spin(); }
[[gnu::noinline, gnu::section("curg_hog_b")]] void HogB() { Spin(); }

bool InHogA(uintptr_t pc) { return Within(pc, __start_curg_hog_a, __stop_curg_hog_a); }
bool InHogB(uintptr_t pc) { return Within(pc, __start_curg_hog_b, __stop_curg_hog_b); }

bool HasHogA(const CpuProfileEntry& entry) {
  return std::any_of(entry.pcs.begin(), entry.pcs.end(), InHogA);
}
bool HasHogB(const CpuProfileEntry& entry) {
  return std::any_of(entry.pcs.begin(), entry.pcs.end(), InHogB);
}

}  // namespace curg::internal
