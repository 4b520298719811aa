// SPDX-License-Identifier: Apache-2.0
//
// Code that the runtime does not expect on a thread: on a stack of its own making (Go's
// TestStackSwitchCallback), in a signal handler of the program's, on an alternate stack that
// somebody put in place of the runtime's (TestSigStackSwapping)).
// Labels are those of the current task all the same.
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "runtime/blocking.h"
#include "runtime/go.h"
#include "runtime/system_stack.h"
#include "runtime/unwind_table.h"
#include "tests/pipeline/hog.h"
#include "tests/pipeline/storm_functions.h"
#include "tests/profiler/signal_storm.h"

namespace curg::internal {
namespace {

constexpr int64_t kSamples = 300;

struct Seen {
  int64_t samples = 0;
  int64_t in_hog = 0;         // with HogA in the stack
  int64_t wrong_label = 0;    // in the hog, and not labelled so
  int64_t hog_leaf_only = 0;  // in the hog, with no caller
  int64_t broken = 0;         // neither whole nor leaf only
};

void Look(const ProfHeader& header, std::span<const uintptr_t> pcs, Seen& seen) {
  ++seen.samples;
  if (std::none_of(pcs.begin(), pcs.end(), InHogA)) return;
  ++seen.in_hog;
  const Labels labels = Labels::FromTag(TagRef::Share(header.tag));
  seen.wrong_label += labels.Get("job") == "a" ? 0 : 1;
  seen.hog_leaf_only += header.shape == StackShape::kLeafOnly ? 1 : 0;
  seen.broken +=
      header.shape == StackShape::kNoRow || header.shape == StackShape::kBadFrame ? 1 : 0;
}

// Runs `body` on a labelled task, beside one with other labels, until there are enough samples of
// HogA; `look` hears of those.
Seen Sample(const std::function<void()>& body,
            const std::function<void(std::span<const uintptr_t>)>& look = {}) {
  EXPECT_TRUE(RefreshUnwindTables().ok());
  Seen seen;
  curg::Run({.workers = 2}, [&] {
    std::atomic<int64_t> in_hog{0};
    SignalStorm storm({.rate_hz = 2000}, [&](const ProfHeader& header, auto pcs) {
      const int64_t before = seen.in_hog;
      Look(header, pcs, seen);
      if (look && seen.in_hog != before) look(pcs);
      in_hog.store(seen.in_hog, std::memory_order_relaxed);
    });
    std::atomic<bool> stop{false};
    JoinHandle<void> other = Go([&] {
      const ScopedLabels labels({{"job", "b"}});
      for (; !stop; Yield()) HogB();
    });
    Go([&] {
      const ScopedLabels labels({{"job", "a"}});
      for (; in_hog.load(std::memory_order_relaxed) < kSamples; Yield()) body();
    }).Join();
    stop = true;
    other.Join();
  });
  return seen;
}

void ExpectLabelled(const Seen& seen) {
  EXPECT_GE(seen.in_hog, kSamples);
  EXPECT_EQ(seen.wrong_label, 0);
  EXPECT_EQ(seen.broken, 0);
}

// A coroutine of the program's own, which computes, and calls back to what may park. The thread
// sanitizer would have to be told of it.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
struct OwnStack {
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kSize);
  ucontext_t outside{};
  ucontext_t inside{};
  static constexpr size_t kSize = 128 << 10;
};

void RunOnOwnStack(void (*fn)()) {
  OwnStack own;
  getcontext(&own.inside);
  own.inside.uc_stack.ss_sp = own.stack.get();
  own.inside.uc_stack.ss_size = OwnStack::kSize;
  own.inside.uc_link = &own.outside;
  makecontext(&own.inside, fn, 0);
  swapcontext(&own.outside, &own.inside);
}

TEST(OddStacks, AStackOfTheProgramsOwnKeepsTheTasksLabels) {
  const Seen seen = Sample([] { RunOnOwnStack([] { HogA(); }); });
  ExpectLabelled(seen);
  // Nobody knows where that stack ends.
  EXPECT_GT(seen.hog_leaf_only, seen.in_hog / 2);
}

TEST(OddStacks, ParkingOnAStackOfTheProgramsOwnMixesNothing) {
  const Seen seen = Sample([] {
    RunOnOwnStack([] {
      HogA();
      Yield();
      HogA();
    });
  });
  ExpectLabelled(seen);
}
#endif

// Go's TestLabelSystemstack: the system stack's frames, then the task's own.
TEST(OddStacks, TheSystemStackIsTheTasksAndShowsBoth) {
  std::atomic<int64_t> both{0};
  const Seen seen = Sample(
      [] {
        CallAsKind(
            1, [](void*) { OnSystemStack(&HogA); }, nullptr);
      },
      [&both](std::span<const uintptr_t> pcs) {
        both += std::any_of(pcs.begin(), pcs.end(),
                            [](uintptr_t pc) { return StormKindAt(pc - 1) == 1; });
      });
  ExpectLabelled(seen);
  EXPECT_EQ(seen.hog_leaf_only, 0);
  EXPECT_EQ(both.load(), seen.in_hog);
}

TEST(OddStacks, WhatBlocksIsOfTheTask) {
  const Seen seen = Sample([] { Blocking(&HogA); });
  ExpectLabelled(seen);
  EXPECT_EQ(seen.hog_leaf_only, 0);
}

// While a signal handler of the program's runs, on the task's stack or on the alternate one. The
// thread sanitizer runs the program's handlers with all signals blocked: no sample could be taken
// there.
#if !defined(__SANITIZE_THREAD__)
void InHandler(int) { HogA(); }

void RaiseInHandler(int flags) {
  struct sigaction action {};
  action.sa_handler = &InHandler;
  action.sa_flags = flags;
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGUSR2, &action, &before), 0);
  const Seen seen = Sample([] { raise(SIGUSR2); });
  ExpectLabelled(seen);
  // On the task's own stack: through the signal frame to the root.
  if (flags == 0) {
    EXPECT_EQ(seen.hog_leaf_only, 0);
  }
  ASSERT_EQ(sigaction(SIGUSR2, &before, nullptr), 0);
}

TEST(OddStacks, AHandlerOnTheTasksStackIsOfTheTask) { RaiseInHandler(0); }

TEST(OddStacks, AHandlerOnTheAlternateStackIsOfTheTask) { RaiseInHandler(SA_ONSTACK); }
#endif

TEST(OddStacks, SomebodyElsesAlternateStackWillDo) {
  const Seen seen = Sample([] {
    static thread_local std::vector<char> stack(256 << 10);
    const stack_t theirs = {.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
    stack_t ours = {};
    ASSERT_EQ(sigaltstack(&theirs, &ours), 0);
    HogA();
    ASSERT_EQ(sigaltstack(&ours, nullptr), 0);
  });
  ExpectLabelled(seen);
  EXPECT_EQ(seen.hog_leaf_only, 0);
}

}  // namespace
}  // namespace curg::internal
