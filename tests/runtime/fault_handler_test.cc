// SPDX-License-Identifier: Apache-2.0
#include "runtime/fault_handler.h"

#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/reporter.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

volatile int g_sink = 0;

// Not optimised into a loop: every level needs the one below.
__attribute__((noinline)) int Recurse(int depth) {
  volatile char frame[200];
  frame[depth % 200] = static_cast<char>(depth);
  const int below = depth == 0 ? 0 : Recurse(depth - 1);
  g_sink = below;
  return below + frame[depth % 200];
}

__attribute__((noinline)) int LargeFrame(int n) {
  volatile char frame[20'000];
  frame[n] = 1;
  const int below = n == 0 ? 0 : LargeFrame(n - 1);
  return below + frame[n];
}

[[maybe_unused]] __attribute__((noinline)) void Throws() { throw 1; }
[[maybe_unused]] void CallsOneThatThrows() noexcept { Throws(); }

void Overflow() { g_sink = Recurse(1 << 30); }

// The sanitizers have handlers of their own, which end the process in their way.
#if defined(CURG_ASAN) || defined(CURG_TSAN)
#define EXPECT_DIES_OF(statement, signal, text) EXPECT_DEATH(statement, text)
#else
#define EXPECT_DIES_OF(statement, signal, text) EXPECT_EXIT(statement, KilledBySignal(signal), text)
#endif

class FaultHandlerTest : public ::testing::Test {
 protected:
  FaultHandlerTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FaultHandlerTest, SaysWhichTaskOverflowsItsStack) {
  EXPECT_DIES_OF(curg::Run({.workers = 2}, [] { Go({.name = "deep"}, Overflow).Join(); }), SIGSEGV,
                 "stack overflow in task 2 \"deep\", which has a stack of 256 KiB"
                 "(.|\n)*spawned by task 1 at 0x[0-9a-f]+ \\(");
}

TEST_F(FaultHandlerTest, SaysWhichTaskOverflowsASmallStack) {
  EXPECT_DIES_OF(
      curg::Run({.workers = 1},
                [] { Go({.name = "small", .stack_size = size_t{32} << 10}, Overflow).Join(); }),
      SIGSEGV, "stack overflow in task 2 \"small\", which has a stack of 32 KiB");
}

TEST_F(FaultHandlerTest, SaysWhichTaskOverflowsByALargeFrame) {
  EXPECT_DIES_OF(curg::Run({.workers = 1}, [] { g_sink = LargeFrame(10'000); }), SIGSEGV,
                 "stack overflow in task 1 \"main\"");
}

TEST_F(FaultHandlerTest, ShowsTheTopOfTheStack) {
  // Recurse, over and over: at least twenty frames.
  EXPECT_DIES_OF(
      curg::Run({.workers = 1}, Overflow), SIGSEGV,
      "stack overflow.*\n(    0x[0-9a-f]+ \\(fault_handler_test\\+0x[0-9a-f]+\\)\n){20}");
}

TEST_F(FaultHandlerTest, SaysWhichTaskOverflowsOnASurplusWorker) {
  // The configured worker never looks for work again, so only a surplus one can run the second
  // task.
  EXPECT_DIES_OF(curg::Run({.workers = 1},
                           [] {
                             Go({.name = "deep"}, Overflow).Detach();
                             while (true) g_sink = 0;
                           }),
                 SIGSEGV, "stack overflow in task 2 \"deep\"");
}

#if !defined(CURG_ASAN) && !defined(CURG_TSAN)  // whose handlers are earlier ones, and say it all
TEST_F(FaultHandlerTest, SaysInWhichTaskAnotherFaultHappens) {
  EXPECT_EXIT(curg::Run({.workers = 1}, [] { *reinterpret_cast<volatile int*>(g_sink + 8) = 1; }),
              KilledBySignal(SIGSEGV),
              "segmentation fault at address 0x8 in task 1 \"main\", pc 0x");
}

TEST_F(FaultHandlerTest, SaysInWhichTaskAnAbortHappens) {
  EXPECT_EXIT(
      curg::Run({.workers = 1}, [] { Go({.name = "aborts"}, [] { std::abort(); }).Join(); }),
      KilledBySignal(SIGABRT), "abort in task 2 \"aborts\", pc 0x(.|\n)*spawned by task 1 at 0x");
  EXPECT_EXIT(curg::Run({.workers = 1}, [] { CallsOneThatThrows(); }), KilledBySignal(SIGABRT),
              "terminate called(.|\n)*abort in task 1 \"main\", pc 0x");
}

TEST_F(FaultHandlerTest, APointerIntoTheGuardPageIsNoOverflow) {
  EXPECT_EXIT(curg::Run({.workers = 1},
                        [] {
                          char here = 0;
                          const auto page = reinterpret_cast<uintptr_t>(&here) & ~uintptr_t{4095};
                          for (volatile char* at = reinterpret_cast<char*>(page);; at -= 4096)
                            (void)*at;
                        }),
              KilledBySignal(SIGSEGV),
              "^curg: segmentation fault at address 0x[0-9a-f]+000 in task 1");
}

TEST_F(FaultHandlerTest, AFaultOnAPlainThreadIsNoneOfOurs) {
  EXPECT_EXIT(
      {
        auto runtime = Runtime::Create({.workers = 1}).value();
        *reinterpret_cast<volatile int*>(g_sink + 8) = 1;
      },
      KilledBySignal(SIGSEGV), "^$");
}

void ExitWith3(int, siginfo_t* info, void*) {
  std::fprintf(stderr, "earlier handler, address %s\n",
               info->si_addr == nullptr ? "null" : "given");
  std::_Exit(3);
}

TEST_F(FaultHandlerTest, AnEarlierHandlerIsCalledAfterTheReport) {
  const auto install = [] {
    struct sigaction action = {};
    action.sa_sigaction = &ExitWith3;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
  };
  EXPECT_EXIT((install(), curg::Run({.workers = 1}, Overflow)), ExitedWithCode(3),
              "stack overflow in task 1(.|\n)*earlier handler, address given");
  EXPECT_EXIT((install(),
               curg::Run({.workers = 1}, [] { *reinterpret_cast<volatile int*>(g_sink + 8) = 1; })),
              ExitedWithCode(3), "^earlier handler, address given\n$");
}

TEST_F(FaultHandlerTest, ASignalThatIsSentKillsAsBefore) {
  EXPECT_EXIT(curg::Run({.workers = 1}, [] { raise(SIGSEGV); }), KilledBySignal(SIGSEGV), "^$");
}

#endif

// Prints what it is told in its own words.
class OwnReporter final : public Reporter {
 public:
  void OnStackOverflow(const StackOverflowReport& report) noexcept override {
    // Not async-signal-safe in general; here nobody else prints.
    std::fprintf(stderr, "own words: task %d, %zu bytes, %s frames\n",
                 static_cast<int>(report.task.id), report.task.stack_size,
                 report.task.stack.size() > 10 ? "many" : "few");
  }
};

TEST_F(FaultHandlerTest, AProgramCanInstallItsOwnReporter) {
  EXPECT_DIES_OF(
      {
        static OwnReporter reporter;
        SetReporter(&reporter);
        curg::Run({.workers = 1}, Overflow);
      },
      SIGSEGV, "^own words: task 1, 262144 bytes, many frames");
}

}  // namespace
}  // namespace curg
