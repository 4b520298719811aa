// SPDX-License-Identifier: Apache-2.0
#include "runtime/walk_memo.h"

#include <alloca.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unstable_reads.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

constexpr size_t kDepthMax = 40;

class WalkMemoTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(RefreshUnwindTables().ok()); }
};

// Walks that are to be the same by a memo and without, of what is called in a random way.
class Walks {
 public:
  Walks(StackBounds bounds, size_t depth_max, size_t walks_max)
      : bounds_(bounds), depth_max_(depth_max), memo_(depth_max, walks_max) {}

  void Compare(const Registers& here) {
    std::vector<uintptr_t> pcs(depth_max_);
    const Traceback walk = WalkStack(here, bounds_, pcs);
    pcs.resize(walk.depth);
    const WalkMemo::Walk again = memo_.Of(here, bounds_);
    ++made_;
    ASSERT_EQ(std::vector<uintptr_t>(again.pcs.begin(), again.pcs.end()), pcs);
    ASSERT_EQ(again.end, walk.end);
    if (again.note == nullptr) return;
    ++noted_;
    if (*again.note != 0) ++recognized_;
    *again.note = 1;
  }

  // One of several kinds of frames; then further down, or the comparison.
  void Descend(int depth) {
    if (depth == 0) return Compare(RegistersHere());
    switch (random_() % 4) {
      case 0:
        Plain(depth);
        break;
      case 1:
        Sized(depth, random_() % 3);
        break;
      case 2:
        Large(depth);
        break;
      default:
        std::function<void(int)>([this](int next) {
          Descend(next);
          asm volatile("");
        })(depth - 1);
    }
    asm volatile("");
  }

  int made() const { return made_; }
  int noted() const { return noted_; }
  int recognized() const { return recognized_; }

 private:
  [[gnu::noinline]] void Plain(int depth) {
    Descend(depth - 1);
    asm volatile("");
  }
  // Its caller is found by the frame pointer alone.
  [[gnu::noinline]] void Sized(int depth, size_t words) {
    auto* const room = static_cast<uintptr_t*>(alloca((words + 1) * 8 * sizeof(uintptr_t)));
    std::fill_n(room, words * 8, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
    asm volatile("" : : "r"(room) : "memory");
    Descend(depth - 1);
    asm volatile("" : : "r"(room) : "memory");
  }
  [[gnu::noinline]] void Large(int depth) {
    char room[3000];
    asm volatile("" : : "r"(room) : "memory");
    Descend(depth - 1);
    asm volatile("" : : "r"(room) : "memory");
  }

  const StackBounds bounds_;
  const size_t depth_max_;
  WalkMemo memo_;
  std::minstd_rand random_{17};
  int made_ = 0;
  int noted_ = 0;
  int recognized_ = 0;
};

TEST_F(WalkMemoTest, WalksAreTheSameAsWithout) {
  Walks walks(BoundsOfThisThread(), 128, 100'000);
  for (int i = 0; i < 20'000 && !HasFatalFailure(); ++i) walks.Descend(i % 7);
  EXPECT_EQ(walks.made(), 20'000);
  EXPECT_GT(walks.noted(), 19'000);
  EXPECT_GT(walks.recognized(), 10'000);
}

TEST_F(WalkMemoTest, WalksThatAreCutAreTheSame) {
  for (const size_t depth_max : {1, 3, 8}) {
    Walks walks(BoundsOfThisThread(), depth_max, 100'000);
    for (int i = 0; i < 3'000 && !HasFatalFailure(); ++i) walks.Descend(i % 7);
    EXPECT_GT(walks.recognized(), 1'000);
  }
}

TEST_F(WalkMemoTest, WalksAreTheSameWhenNoMoreAreKept) {
  Walks walks(BoundsOfThisThread(), 128, 10);
  for (int i = 0; i < 5'000 && !HasFatalFailure(); ++i) walks.Descend(i % 7);
  EXPECT_GT(walks.recognized(), 100);
  EXPECT_LT(walks.noted(), 5'000);
}

TEST_F(WalkMemoTest, ForgetsWhenTold) {
  const StackBounds bounds = BoundsOfThisThread();
  WalkMemo memo(kDepthMax, 1);
  const Registers here = RegistersHere();
  for (int i = 0; i < 2; ++i) {
    WalkMemo::Walk walk = memo.Of(here, bounds);
    ASSERT_NE(walk.note, nullptr);
    EXPECT_EQ(*walk.note, 0u);
    *walk.note = 7;
    EXPECT_EQ(*memo.Of(here, bounds).note, 7u);
    EXPECT_TRUE(memo.full());
    memo.Clear();
    EXPECT_FALSE(memo.full());
  }
}

// What lies on this thread's stack from some frame upwards, to be laid elsewhere.
class StackCopy {
 public:
  __attribute__((no_sanitize("address"))) explicit StackCopy(const Registers& at, size_t words_max)
      : at_(at) {
    const StackBounds bounds = BoundsOfThisThread();
    const size_t words = std::min((bounds.high - at.sp) / sizeof(uintptr_t), words_max);
    words_.resize(words);
    // Not by memcpy, which the address sanitizer looks into.
    const auto* const stack = reinterpret_cast<const volatile uintptr_t*>(at.sp);
    for (size_t i = 0; i < words; ++i) words_.data()[i] = stack[i];
    pcs_.resize(128);
    pcs_.resize(WalkStack(at, bounds, pcs_).depth);
  }

  size_t size() const { return words_.size(); }
  std::span<const uintptr_t> pcs() const { return pcs_; }

  // The word `index` of a copy that begins at `low`: frame pointers move along.
  uintptr_t WordFor(uintptr_t low, size_t index) const { return Move(words_[index], low); }
  Registers RegistersFor(uintptr_t low) const {
    Registers registers = at_;
    registers.sp = low;
    registers.bp = Move(at_.bp, low);
    return registers;
  }

 private:
  uintptr_t Move(uintptr_t word, uintptr_t low) const {
    return word - at_.sp < words_.size() * sizeof(uintptr_t) ? word - at_.sp + low : word;
  }

  const Registers at_;
  std::vector<uintptr_t> words_;
  std::vector<uintptr_t> pcs_;
};

void ExpectSame(WalkMemo& memo, const Registers& start, StackBounds bounds) {
  std::vector<uintptr_t> pcs(kDepthMax);
  const Traceback walk = WalkStack(start, bounds, pcs);
  pcs.resize(walk.depth);
  const WalkMemo::Walk again = memo.Of(start, bounds);
  ASSERT_EQ(std::vector<uintptr_t>(again.pcs.begin(), again.pcs.end()), pcs);
  ASSERT_EQ(again.end, walk.end);
}

TEST_F(WalkMemoTest, ReadsNothingOutsideOfTheStack) {
  constexpr size_t kPage = 4096;
  char* const memory =
      static_cast<char*>(mmap(nullptr, 3 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  auto* const stack = reinterpret_cast<uintptr_t*>(memory + kPage);
  ASSERT_EQ(mprotect(stack, kPage, PROT_READ | PROT_WRITE), 0);
  const uintptr_t low = reinterpret_cast<uintptr_t>(stack);
  const Registers here = RegistersHere();
  const StackCopy copy(here, kPage / sizeof(uintptr_t));
  WalkMemo memo(kDepthMax, 1000);
  ExpectSame(memo, here, BoundsOfThisThread());
  std::minstd_rand random(3);
  for (int i = 0; i < 20'000 && !HasFatalFailure(); ++i) {  // from every place, so that the stack
                                                            // ends anywhere
    const size_t at = random() % (kPage / sizeof(uintptr_t));
    Registers start = copy.RegistersFor(low + at * sizeof(uintptr_t));
    for (size_t j = at; j < kPage / sizeof(uintptr_t) && j - at < copy.size(); ++j) {
      stack[j] = copy.WordFor(start.sp, j - at);
    }
    if (random() % 16 == 0) start.sp += random() % 8;
    ExpectSame(memo, start, {low, low + kPage});
  }
  munmap(memory, 3 * kPage);
}

// Dumps read stacks that run. What comes of that is nonsense, but must not be kept for stacks that
// stand still.
TEST_F(WalkMemoTest, AStackThatChangesMeanwhileSpoilsNothing) {
  constexpr size_t kWords = 512;
  static std::atomic<uintptr_t> stack[kWords];
  const uintptr_t low = reinterpret_cast<uintptr_t>(stack);
  const StackBounds bounds = {low, low + sizeof(stack)};
  const StackCopy copy(RegistersHere(), kWords);
  ASSERT_GE(copy.pcs().size(), 3u);
  const Registers start = copy.RegistersFor(low);
  const auto put = [&](std::minstd_rand& random) {
    for (size_t i = 0; i < copy.size(); ++i) {
      uintptr_t word = copy.WordFor(low, i);
      // Return addresses become others of the stack's, or nonsense.
      const bool returns = std::ranges::find(copy.pcs(), word) != copy.pcs().end();
      if (returns && random() % 4 == 0) word = copy.pcs()[1 + random() % 2];
      if (random() % 64 == 0) word = random();
      stack[i].store(word, std::memory_order_relaxed);
    }
  };
  WalkMemo memo(kDepthMax, 5000);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    std::minstd_rand random(5);
    while (!stop) put(random);
  });
  for (int i = 0; i < 100'000; ++i) {
    const UnstableReads reads;
    (void)memo.Of(start, bounds);
  }
  stop = true;
  writer.join();
  std::minstd_rand random(7);
  for (int i = 0; i < 5'000 && !HasFatalFailure(); ++i) {
    put(random);
    ExpectSame(memo, start, bounds);
  }
}

}  // namespace
}  // namespace curg::internal
