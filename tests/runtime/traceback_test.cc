// SPDX-License-Identifier: Apache-2.0
#include "runtime/traceback.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

namespace fcontext = boost::context::detail;

class TracebackTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(RefreshUnwindTables().ok()); }
};

struct Trace {
  explicit Trace(size_t depth_max = 400) : pcs(depth_max) {}
  void Walk(const Registers& registers, StackBounds bounds) {
    result = WalkStack(registers, bounds, pcs);
    pcs.resize(result.depth);
  }
  std::vector<uintptr_t> pcs;
  Traceback result;
};

// The return addresses on the way down, as each call knows its own; then walks.
__attribute__((noinline)) void Descend(int depth, StackBounds bounds,
                                       std::vector<uintptr_t>* expected, Trace* trace) {
  expected->push_back(reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  if (depth == 0) {
    trace->Walk(RegistersHere(), bounds);
  } else {
    Descend(depth - 1, bounds, expected, trace);
  }
  asm volatile("" ::: "memory");  // no tail call
}

// pcs[1..] are the recorded return addresses, innermost first.
void ExpectChain(const Trace& trace, const std::vector<uintptr_t>& expected) {
  ASSERT_GT(trace.pcs.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(trace.pcs[i + 1], expected[expected.size() - 1 - i]) << i;
  }
}

TEST_F(TracebackTest, ADeepRecursionIsTheKnownChain) {
  for (int depth : {0, 1, 10, 300}) {
    std::vector<uintptr_t> expected;
    Trace trace;
    Descend(depth, BoundsOfThisThread(), &expected, &trace);
    EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
    ExpectChain(trace, expected);
  }
}

TEST_F(TracebackTest, AThreadEndsAtItsRootToo) {
  std::thread([] {
    std::vector<uintptr_t> expected;
    Trace trace;
    Descend(20, BoundsOfThisThread(), &expected, &trace);
    EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
    ExpectChain(trace, expected);
  }).join();
}

TEST_F(TracebackTest, MoreFramesThanFitIsTruncated) {
  std::vector<uintptr_t> expected;
  Trace all;
  Descend(50, BoundsOfThisThread(), &expected, &all);
  for (size_t room : {size_t{0}, size_t{1}, size_t{20}, all.pcs.size() - 1, all.pcs.size()}) {
    Trace trace(room);
    Descend(50, BoundsOfThisThread(), &expected, &trace);
    EXPECT_EQ(trace.result.depth, room);
    EXPECT_EQ(trace.result.end == TracebackEnd::kRoot, room == all.pcs.size());
    EXPECT_EQ(trace.result.end == TracebackEnd::kTruncated, room < all.pcs.size());
  }
}

TEST_F(TracebackTest, CodeThatNobodyKnowsIsSaid) {
  const Registers here = RegistersHere();
  Registers nowhere = here;
  nowhere.pc = 0x1234;
  Trace trace;
  trace.Walk(nowhere, BoundsOfThisThread());
  EXPECT_EQ(trace.result.end, TracebackEnd::kNoRow);
  ASSERT_EQ(trace.result.depth, 1u);
  EXPECT_EQ(trace.pcs[0], 0x1234u);
}

TEST_F(TracebackTest, AStackPointerOutsideTheBoundsReadsNothing) {
  const Registers here = RegistersHere();
  Trace trace;
  trace.Walk(here, StackBounds{0x1000, 0x2000});
  EXPECT_EQ(trace.result.end, TracebackEnd::kBadFrame);
  EXPECT_EQ(trace.result.depth, 1u);
  Trace empty;
  empty.Walk(here, StackBounds{});
  EXPECT_EQ(empty.result.end, TracebackEnd::kBadFrame);
}

// Stacks of tasks: mapped, with nothing readable on either side.
class GuardedStack {
 public:
  GuardedStack() {
    memory_ = static_cast<char*>(
        mmap(nullptr, kSize + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_EQ(mprotect(memory_ + kGuard, kSize, PROT_READ | PROT_WRITE), 0);
  }
  ~GuardedStack() { munmap(memory_, kSize + 2 * kGuard); }
  StackBounds bounds() const {
    const auto low = reinterpret_cast<uintptr_t>(memory_) + kGuard;
    return {low, low + kSize};
  }
  fcontext::fcontext_t Make(void (*entry)(fcontext::transfer_t)) const {
    return fcontext::make_fcontext(reinterpret_cast<void*>(bounds().high), kSize, entry);
  }

 private:
  static constexpr size_t kSize = 64 * 1024;
  static constexpr size_t kGuard = 64 * 1024;
  char* memory_;
};

struct TaskWalk {
  StackBounds bounds;
  std::vector<uintptr_t> expected;
  Trace trace;
};

// A task's first function. Its own return address is Boost's, and ends the walk.
void TaskEntry(fcontext::transfer_t from) {
  TaskWalk& walk = *static_cast<TaskWalk*>(from.data);
  Descend(5, walk.bounds, &walk.expected, &walk.trace);
  from = fcontext::jump_fcontext(from.fctx, nullptr);
  fcontext::jump_fcontext(from.fctx, nullptr);
}

// On an fcontext stack the sanitizers must be told of switches; the runtime's Context does.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CURG_SKIP_BARE_SWITCHES() GTEST_SKIP() << "bare switches confuse the sanitizer"
#else
#define CURG_SKIP_BARE_SWITCHES() (void)0
#endif

TEST_F(TracebackTest, ATaskEndsAtItsEntry) {
  CURG_SKIP_BARE_SWITCHES();
  const GuardedStack stack;
  TaskWalk walk{.bounds = stack.bounds(), .expected = {}, .trace = Trace()};
  fcontext::jump_fcontext(stack.Make(&TaskEntry), &walk);
  EXPECT_EQ(walk.trace.result.end, TracebackEnd::kRoot);
  // Descend six times, and TaskEntry: exactly these, nothing of Boost's.
  ASSERT_EQ(walk.trace.pcs.size(), 7u);
  ExpectChain(walk.trace, walk.expected);
  const uintptr_t entry = reinterpret_cast<uintptr_t>(&TaskEntry);
  EXPECT_LT(walk.trace.pcs.back() - entry, 4096u);
}

Registers Saved(fcontext::fcontext_t context) {
  const auto* words = static_cast<const uintptr_t*>(context);
  return {
      .pc = words[8], .sp = reinterpret_cast<uintptr_t>(words + 9), .bp = words[7], .bx = words[6]};
}

TEST_F(TracebackTest, AParkedTaskIsWalkedFromItsSavedRegisters) {
  CURG_SKIP_BARE_SWITCHES();
  const GuardedStack stack;
  Trace fresh;
  const fcontext::fcontext_t made = stack.Make(&TaskEntry);
  fresh.Walk(Saved(made), stack.bounds());
  EXPECT_EQ(fresh.result.end, TracebackEnd::kRoot);
  EXPECT_EQ(fresh.result.depth, 1u) << "it has not begun";

  TaskWalk walk{.bounds = stack.bounds(), .expected = {}, .trace = Trace()};
  const fcontext::transfer_t parked = fcontext::jump_fcontext(made, &walk);
  Trace trace;
  trace.Walk(Saved(parked.fctx), stack.bounds());
  EXPECT_EQ(trace.result.end, TracebackEnd::kRoot);
  ASSERT_EQ(trace.result.depth, 1u) << "TaskEntry itself called the switch";
  EXPECT_LT(trace.pcs[0] - reinterpret_cast<uintptr_t>(&TaskEntry), 4096u);
}

// A signal handler on the interrupted stack itself: the walk goes through the signal frame.
struct SignalWalk {
  StackBounds bounds;
  Trace trace;
  uintptr_t interrupted_pc = 0;
};
SignalWalk* g_signal_walk = nullptr;

void WalkInHandler(int, siginfo_t*, void* context) {
  g_signal_walk->interrupted_pc = RegistersOf(*static_cast<ucontext_t*>(context)).pc;
  g_signal_walk->trace.Walk(RegistersHere(), g_signal_walk->bounds);
}

__attribute__((noinline)) void TrapHere(std::vector<uintptr_t>* expected) {
  expected->push_back(reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  asm volatile("int3" ::: "memory");
}

TEST_F(TracebackTest, ASignalFrameIsCrossedAndMarked) {
  SignalWalk walk{.bounds = BoundsOfThisThread(), .trace = Trace()};
  g_signal_walk = &walk;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_sigaction = &WalkInHandler;
  action.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  std::vector<uintptr_t> expected;
  TrapHere(&expected);
  ASSERT_EQ(sigaction(SIGTRAP, &before, nullptr), 0);
  EXPECT_EQ(walk.trace.result.end, TracebackEnd::kRoot);
  const std::vector<uintptr_t>& pcs = walk.trace.pcs;
  const auto at = std::find(pcs.begin(), pcs.end(), walk.interrupted_pc + 1);
  ASSERT_NE(at, pcs.end()) << "the interrupted instruction is given as its address + 1";
  ASSERT_NE(at + 1, pcs.end());
  EXPECT_EQ(*(at + 1), expected[0]);
}

TEST_F(TracebackTest, GarbageRegistersNeverFault) {
  const GuardedStack stack;
  const StackBounds bounds = stack.bounds();
  std::mt19937_64 random(4711);
  auto* words = reinterpret_cast<uint64_t*>(bounds.low);
  const size_t count = (bounds.high - bounds.low) / 8;
  const auto text = reinterpret_cast<uintptr_t>(&BoundsOfThisThread);
  const auto libc = reinterpret_cast<uintptr_t>(&std::strlen);
  const auto code = [&] {
    return random() % 2 == 0 ? text + random() % 0x20000 - 0x10000
                             : libc + random() % 0x100000 - 0x80000;
  };
  const auto place = [&] {
    return (bounds.low + random() % (bounds.high - bounds.low)) & ~uintptr_t{7};
  };
  const auto pick = [&]() -> uintptr_t {
    switch (random() % 6) {
      case 0:
        return random();
      case 1:  // in the stack, on its edges, right outside
        return bounds.low + random() % (bounds.high - bounds.low + 64) - 32;
      case 2:
        return bounds.high - random() % 64;
      case 3:
        return place();
      default:
        return code();
    }
  };
  for (size_t i = 0; i < count; ++i) words[i] = pick();
  mcontext_t interrupted{};
  uintptr_t pcs[64];
  size_t frames = 0;
  for (int i = 0; i < 100'000; ++i) {
    for (greg_t& greg : interrupted.gregs) greg = static_cast<greg_t>(pick());
    const bool likely = i % 4 != 0;
    const Registers registers{.pc = likely ? code() : pick(),
                              .sp = likely ? place() : pick(),
                              .bp = pick(),
                              .bx = pick(),
                              .interrupted = i % 2 == 0 ? nullptr : &interrupted};
    const Traceback walk = WalkStack(registers, bounds, pcs);
    ASSERT_GE(walk.depth, 1u);
    ASSERT_LE(walk.depth, 64u);
    frames += walk.depth;
    words[random() % count] = pick();
  }
  EXPECT_GT(frames, 120'000u) << "some of them look like frames";
}

}  // namespace
}  // namespace curg::internal
