// SPDX-License-Identifier: Apache-2.0
//
// A test of this project. It knows nothing of profiles, but leaves one when asked to: see
// BUILD.bazel.

#include <chrono>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace consumer {

[[gnu::noinline]] double Work(int terms) {
  double sum = 0;
  for (int i = 1; i <= terms; ++i) sum += 1.0 / i / i;
  return sum;
}

TEST(Work, AddsUpInATask) {
  curg::Run([] {
    EXPECT_NEAR(curg::Go([] { return Work(50'000'000); }).Join(), 1.644934, 1e-6);
    return 0;
  });
}

// Only when asked for: what a test leaves that takes too long.
//   bazel test --config=profile --test_timeout=3 --test_arg=--gtest_also_run_disabled_tests
//   //:greet_test
TEST(Work, DISABLED_NeverEnds) {
  curg::Run([] {
    curg::TaskOptions options;
    options.name = "the one that waits";
    curg::Go(options, [] { curg::SleepFor(std::chrono::hours(1)); }).Join();
    return 0;
  });
}

TEST(Work, AddsUpWithoutOne) { EXPECT_NEAR(Work(50'000'000), 1.644934, 1e-6); }

}  // namespace consumer
