// SPDX-License-Identifier: Apache-2.0
//
// No sample has a wrong label, however tasks and samples fall: see label_storm.h. The benchmark
// does the same with a million samples.
#include "tests/pipeline/label_storm.h"

#include <cstdint>
#include <cstdio>

#include "gtest/gtest.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kSamples = 3'000;
#else
constexpr int64_t kSamples = 20'000;
#endif

TEST(LabelStorm, EverySampleHasTheRightLabel) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const LabelStormCounts counts = RunLabelStorm(/*workers=*/4, kSamples);
  std::printf(
      "%ld samples (%ld whole, %ld in a switch), %ld of the runtime, %ld tasks, %ld phases\n",
      counts.samples, counts.whole, counts.switches, counts.runtime, counts.tasks, counts.phases);
  EXPECT_GE(counts.samples, kSamples);
  EXPECT_EQ(counts.wrong, 0) << counts.first_wrong;
  EXPECT_EQ(counts.mixed, 0);
  EXPECT_EQ(counts.lost, 0);
  EXPECT_GE(static_cast<double>(counts.labelled), 0.9999 * static_cast<double>(counts.samples));
  EXPECT_GE(static_cast<double>(counts.whole + counts.switches),
            0.999 * static_cast<double>(counts.samples));
  EXPECT_GT(counts.switches, 0);
}

}  // namespace
}  // namespace curg::internal
