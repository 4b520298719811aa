// SPDX-License-Identifier: Apache-2.0
//
// Deliberate faults: each sanitizer's configuration really has it on. Built once per configuration,
// with the one macro CURG_EXPECT_... that BUILD.bazel defines for it.

#include <cstdlib>
#include <limits>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace curg {
namespace {

// Returns its argument, in a way the compiler cannot see through.
template <typename T>
T Opaque(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

#ifdef CURG_EXPECT_ASAN

TEST(SanitizerDeathTest, AsanSeesUseAfterFree) {
  EXPECT_DEATH(
      {
        int* freed = new int(1);
        delete Opaque(freed);
        *Opaque(freed) = 2;
      },
      "heap-use-after-free");
}

TEST(SanitizerDeathTest, AsanSeesLeak) {
  EXPECT_EXIT(
      {
        Opaque(new int(1));
        std::exit(0);  // NOLINT(concurrency-mt-unsafe)
      },
      [](int status) { return WIFEXITED(status) && WEXITSTATUS(status) != 0; },
      "detected memory leaks");
}

#endif  // CURG_EXPECT_ASAN

#ifdef CURG_EXPECT_TSAN

TEST(SanitizerDeathTest, TsanSeesRace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        int shared = 0;
        std::thread other([&shared] { *Opaque(&shared) += 1; });
        *Opaque(&shared) += 1;
        other.join();
      },
      "data race");
}

#endif  // CURG_EXPECT_TSAN

#ifdef CURG_EXPECT_UBSAN

TEST(SanitizerDeathTest, UbsanSeesOverflow) {
  EXPECT_DEATH(
      {
        const int largest = Opaque(std::numeric_limits<int>::max());
        Opaque(largest + Opaque(1));
      },
      "signed integer overflow");
}

#endif  // CURG_EXPECT_UBSAN

}  // namespace
}  // namespace curg
