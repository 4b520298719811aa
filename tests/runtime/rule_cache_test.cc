// SPDX-License-Identifier: Apache-2.0
#include "runtime/rule_cache.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

using Pcs = std::vector<uintptr_t>;

struct Result {
  Pcs pcs;
  TracebackEnd end = TracebackEnd::kBadFrame;
  bool operator==(const Result&) const = default;
};

template <typename Walk>
Result ResultOf(Walk walk) {
  std::array<uintptr_t, 100> pcs;
  const Traceback traceback = walk(pcs);
  return {Pcs(pcs.begin(), pcs.begin() + static_cast<ptrdiff_t>(traceback.depth)), traceback.end};
}

// What both say of the same frames.
__attribute__((noinline)) void Compare(RuleCache& cache) {
  const StackBounds bounds = BoundsOfThisThread();
  const Registers here = RegistersHere();
  const Result expected = ResultOf([&](auto& pcs) { return WalkStack(here, bounds, pcs); });
  EXPECT_GT(expected.pcs.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    cache.Fetch(here);
    EXPECT_EQ(ResultOf([&](auto& pcs) { return cache.Walk(here, bounds, pcs); }), expected);
  }
}

// Frames of different sizes, some of them in the standard library.
__attribute__((noinline)) void Below(int depth, uint64_t which, RuleCache& cache) {
  if (depth == 0) return Compare(cache);
  char pad[256];
  asm volatile("" : : "r"(pad) : "memory");
  if (which % 3 == 0) {
    Below(depth - 1, which / 3, cache);
  } else if (which % 3 == 1) {
    std::function<void()>([&] { Below(depth - 1, which / 3, cache); })();
  } else {
    std::vector<int> two = {2, 1};
    bool done = false;
    std::sort(two.begin(), two.end(), [&](int a, int b) {
      if (!std::exchange(done, true)) Below(depth - 1, which / 3, cache);
      return a < b;
    });
  }
  asm volatile("" ::: "memory");  // no tail call
}

TEST(RuleCache, WalksAsWalkStackDoes) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const auto cache = std::make_unique<RuleCache>();
  for (uint64_t which = 0; which < 200; ++which)
    Below(1 + static_cast<int>(which % 60), which * 7919, *cache);
}

// A walk that ends early leaves no trail that would lead the next one astray.
TEST(RuleCache, EndsWhereThereIsNoRoom) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const auto cache = std::make_unique<RuleCache>();
  Compare(*cache);
  const StackBounds bounds = BoundsOfThisThread();
  const Registers here = RegistersHere();
  std::array<uintptr_t, 2> few;
  const Traceback walk = cache->Walk(here, bounds, few);
  EXPECT_EQ(walk.depth, 2u);
  EXPECT_EQ(walk.end, TracebackEnd::kTruncated);
  Compare(*cache);
}

TEST(RuleCache, FetchNeedsNothingToBeTrue) {
  const auto cache = std::make_unique<RuleCache>();
  Compare(*cache);
  for (const uintptr_t anywhere : {uintptr_t{0}, uintptr_t{1}, ~uintptr_t{0}, uintptr_t{1} << 63}) {
    cache->Fetch({.pc = anywhere, .sp = anywhere});
  }
}

}  // namespace
}  // namespace curg::internal
