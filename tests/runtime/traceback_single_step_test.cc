// SPDX-License-Identifier: Apache-2.0
//
// Walks the stack before every single instruction of some work: see single_step.h.
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/mixed_work.h"
#include "tests/runtime/single_step.h"

namespace curg::internal {
namespace {

uint64_t StepsIn(const std::vector<StepTally>& tallies, std::string_view name) {
  for (size_t i = 0; i < tallies.size(); ++i) {
    if (CodeRegions::Name(i) == name) return tallies[i].steps;
  }
  return 0;
}

// All kinds, and the exceptions often; of regular expressions and zlib less, since one search or
// compression is hundreds of thousands of steps.
void SomeWork(int i) {
  SortWork(1);
  PrintWork(3);
  StreamWork(3);
  CopyWork(20);
  AllocateWork(60);
  MathWork(3);
  ClockWork(5);
  RealignedWork(2);
  RecursiveWork(1);
  ExceptionWork(1 + i % 2);
  CryptoWork(3);
  AssemblyWork(10);
  if (i % 4 == 0) ZlibWork(1);
}

TEST(TracebackSingleStep, EveryInstructionGivesTheCallChain) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's runtime defers signals and has no place for these switches";
#endif
  MixedWork(1);  // whatever is done once in a process
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const std::vector<StepTally> tallies = SingleStep(&SomeWork, 1);
  for (size_t i = 0; i < tallies.size(); ++i) {
    const StepTally& tally = tallies[i];
    const std::string name(CodeRegions::Name(i));
    std::printf("%-10s %8lu steps, %8lu wrong, %8lu not to the root\n", name.c_str(), tally.steps,
                tally.steps - tally.exact, tally.steps - tally.rooted);
    // libgcc ends a throw, or one leg of it, by making its own frame that of the one to go on in.
    // From then on, until it jumps there, a walk goes on there too; the frames that are given up
    // are still on the shadow stack.
    const uint64_t allowed = i == CodeRegions::kExceptions ? tally.steps / 10 : 0;
    EXPECT_EQ(tally.rooted, tally.steps) << name;
    EXPECT_LE(tally.steps - tally.exact, allowed)
        << name << " first at " << DescribeAddress(tally.first_wrong);
  }
  for (const char* name : {"program", "libc", "libstdc++", "libz"}) {
    EXPECT_GT(StepsIn(tallies, name), 10000u) << name;
  }
  EXPECT_GT(StepsIn(tallies, "libgcc"), 1000u);
  EXPECT_GT(StepsIn(tallies, "switch"), 100u);
  EXPECT_GT(StepsIn(tallies, "PLT"), 100u);
}

}  // namespace
}  // namespace curg::internal
