// SPDX-License-Identifier: Apache-2.0
//
// Tests that know nothing of profiles, for profiled_tests_test to run and to profile. Each burns
// CPU in a function of its own, in another kind of thread.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "tests/profiler/burn.h"

#ifdef CURG_ASAN
// In the child of a death test that forks, what the profiler's threads hold would be called leaked:
// the threads are not there.
static const pid_t g_process = getpid();
extern "C" int __lsan_is_turned_off() { return getpid() == g_process ? 0 : 1; }  // NOLINT
#endif

namespace curg {

// No tail call: the frame must stay.
#define CURG_BURN(name, ms)                           \
  [[gnu::noinline]] void name() {                     \
    internal::BurnCpu(std::chrono::milliseconds(ms)); \
    asm volatile("" ::: "memory");                    \
  }

CURG_BURN(BurnOnMain, 150)
CURG_BURN(BurnInTask, 150)
CURG_BURN(BurnInThread, 500)  // found by a look at the process's threads, on a busy machine late
CURG_BURN(BurnInSetUp, 150)
CURG_BURN(BurnWithParameter, 150)

namespace {

class Plain : public testing::Test {
 protected:
  static void SetUpTestSuite() { BurnInSetUp(); }
};

TEST_F(Plain, MainThread) {
  EXPECT_TRUE(CurrentLabels().empty());
  BurnOnMain();
}

TEST_F(Plain, OtherThread) { std::thread(BurnInThread).join(); }

// A death test, of the kind that forks and of the kind that starts the program anew.
TEST(PlainDeathTest, Dies) {
  GTEST_FLAG_SET(death_test_style, "fast");
  EXPECT_EXIT(std::exit(3), testing::ExitedWithCode(3), "");  // NOLINT(concurrency-mt-unsafe)
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(4), testing::ExitedWithCode(4), "");  // NOLINT(concurrency-mt-unsafe)
}

TEST(Tasks, WithLabelsOfTheirOwn) {
  curg::Run([] {
    EXPECT_TRUE(CurrentLabels().empty());
    SetLabels(Labels::Of({{"phase", "mine"}}));
    Go(BurnInTask).Join();
    return 0;
  });
}

class Numbered : public testing::TestWithParam<int> {};
TEST_P(Numbered, Case) { BurnWithParameter(); }
INSTANTIATE_TEST_SUITE_P(All, Numbered, testing::Values(7));

// The undefined-behaviour sanitizer would end the process first.
__attribute__((no_sanitize("undefined"))) void Fault() { *static_cast<volatile int*>(nullptr) = 1; }

// Only on request, by --gtest_also_run_disabled_tests.
TEST(DISABLED_Crashes, ByAbort) {
  BurnOnMain();
  std::abort();
}

TEST(DISABLED_Crashes, InATask) {
  curg::Run([] {
    Go([] {
      BurnInTask();
      Fault();
    }).Join();
    return 0;
  });
}

TEST(DISABLED_Hangs, InATask) {
  curg::Run([] {
    TaskOptions options;
    options.name = "the one that hangs";
    Go(options, [] { SleepFor(std::chrono::hours(1)); }).Join();
    return 0;
  });
}

}  // namespace
}  // namespace curg
