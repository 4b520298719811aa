// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/plugin_storm.h"

#include <cstdint>
#include <cstdio>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kSamples = 1'000;
#else
constexpr int64_t kSamples = 5'000;
#endif

TEST(PluginStorm, NoStackIsWalkedByStaleRows) {
  const PluginStormCounts counts = RunPluginStorm(
      {"tests/runtime/unwind_plugin_a.so", "tests/runtime/unwind_plugin_b.so"}, kSamples);
  std::printf("%ld loads, %ld of them where the other was; %ld samples, %ld whole\n", counts.loads,
              counts.same_place, counts.samples, counts.whole);
  EXPECT_EQ(counts.stale, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose heap reuses nothing
  EXPECT_GT(counts.same_place, counts.loads / 2) << "this test tests less than it says";
#endif
}

}  // namespace
}  // namespace curg::internal
