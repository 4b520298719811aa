// SPDX-License-Identifier: Apache-2.0
#include "runtime/context.h"

#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <span>

#include "gtest/gtest.h"
#include "runtime/stack_bounds.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

// One flow on a stack of its own beside the test's. The entry takes no argument, so all is static.
class ContextTest : public testing::Test {
 protected:
  static constexpr size_t kStack = size_t{256} << 10;

  ContextTest() {
    memory_ = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uintptr_t low = reinterpret_cast<uintptr_t>(memory_);
    bounds_ = {low, low + kStack};
    home_.AdoptThread(BoundsOfThisThread());
    steps_ = 0;
    end_ = false;
  }
  ~ContextTest() override {
    if (!flow_.stack().empty()) {
      end_ = true;
      Context::Switch(home_, flow_, nullptr);
      flow_.Finish();
    }
    munmap(memory_, kStack);
  }

  static void Count(void* = nullptr) {
    while (!end_) {
      ++steps_;
      Context::Switch(flow_, home_, nullptr);
    }
    Context::Switch(flow_, home_, nullptr, /*last=*/true);
  }

  __attribute__((noinline)) static void CountDeep(int depth) {
    if (depth == 0) return Count();
    CountDeep(depth - 1);
    asm volatile("");  // no tail call
  }
  static void DeepEntry(void*) { CountDeep(10); }

  static void HandWordsOver(void* word) {
    EXPECT_EQ(word, &words_[0]);
    EXPECT_EQ(Context::Switch(flow_, home_, &words_[1]), &words_[2]);
    Context::Switch(flow_, home_, &words_[3]);
    Context::Switch(flow_, home_, nullptr, /*last=*/true);
  }

  static void RoundUp(void*) {
    uint32_t up = 0x1f80 | 0x4000;
    asm volatile("ldmxcsr %0" : : "m"(up));
    Context::Switch(flow_, home_, nullptr);
    uint32_t now;
    asm volatile("stmxcsr %0" : "=m"(now));
    steps_ = static_cast<int>(now & 0x6000);
    Context::Switch(flow_, home_, nullptr, /*last=*/true);
  }

  static inline Context home_;
  static inline Context flow_;
  static inline int steps_;
  static inline bool end_;
  static inline int words_[4];
  void* memory_;
  StackBounds bounds_;
};

TEST_F(ContextTest, ThereAndBack) {
  flow_.Start<&Count>(bounds_, 0);
  EXPECT_EQ(flow_.stack(), bounds_);
  for (int i = 1; i <= 100; ++i) {
    Context::Switch(home_, flow_, nullptr);
    EXPECT_EQ(steps_, i);
  }
}

TEST_F(ContextTest, EachSwitchHandsAWordOver) {
  flow_.Start<&HandWordsOver>(bounds_, 0);
  EXPECT_EQ(Context::Switch(home_, flow_, &words_[0]), &words_[1]);
  EXPECT_EQ(Context::Switch(home_, flow_, &words_[2]), &words_[3]);
}

TEST_F(ContextTest, StartsBelowItsColour) {
  for (uintptr_t colour : {0, 128, 1920}) {
    flow_.Start<&Count>(bounds_, colour);
    Context::Switch(home_, flow_, nullptr);
    EXPECT_LT(flow_.Saved().sp, bounds_.high - colour);
    EXPECT_GT(flow_.Saved().sp, bounds_.high - colour - 4096);
    end_ = true;
    Context::Switch(home_, flow_, nullptr);
    flow_.Finish();
    EXPECT_TRUE(flow_.stack().empty());
    end_ = false;
  }
}

TEST_F(ContextTest, SavedRegistersWalkToTheRoot) {
  ASSERT_TRUE(RefreshUnwindTables().ok());
  flow_.Start<&DeepEntry>(bounds_, 0);
  Context::Switch(home_, flow_, nullptr);
  const Registers saved = flow_.Saved();
  EXPECT_TRUE(bounds_.Contains(saved.sp));
  std::array<uintptr_t, 64> pcs;
  const Traceback walk = WalkStack(saved, bounds_, pcs);
  EXPECT_EQ(walk.end, TracebackEnd::kRoot);
  // Switch, Count, CountDeep eleven times (the innermost may have become Count), the entries.
  EXPECT_GE(walk.depth, 12u);
  EXPECT_LE(walk.depth, 18u);
}

TEST_F(ContextTest, SwitchingIsInTheJumpOnly) {
  flow_.Start<&Count>(bounds_, 0);
  Context::Switch(home_, flow_, nullptr);
  EXPECT_FALSE(Context::IsSwitching(flow_.Saved().pc));  // the instruction after the jump
  EXPECT_FALSE(Context::IsSwitching(reinterpret_cast<uintptr_t>(&Context::Switch)));
  EXPECT_FALSE(Context::IsSwitching(0));
  EXPECT_FALSE(Context::IsSwitching(UINTPTR_MAX));
}

// What the ABI says a call preserves and a switch must: rounding mode included.
TEST_F(ContextTest, FloatingPointControlIsTheFlowsOwn) {
  uint32_t before;
  asm volatile("stmxcsr %0" : "=m"(before));
  flow_.Start<&RoundUp>(bounds_, 0);
  Context::Switch(home_, flow_, nullptr);
  uint32_t between;
  asm volatile("stmxcsr %0" : "=m"(between));
  EXPECT_EQ(between & 0x6000, before & 0x6000);
  Context::Switch(home_, flow_, nullptr);
  EXPECT_EQ(steps_, 0x4000);
  flow_.Finish();
}

}  // namespace
}  // namespace curg::internal
