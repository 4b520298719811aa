// SPDX-License-Identifier: Apache-2.0
//
// Literal stacks in, callers out.
#include "runtime/frame_step.h"

#include <cstdint>
#include <cstring>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using Kind = ValueRule::Kind;

// 64 words; word i holds 1000 + i.
class FrameStepTest : public testing::Test {
 protected:
  FrameStepTest() {
    for (uintptr_t i = 0; i < 64; ++i) words_[i] = 1000 + i;
  }

  uintptr_t At(size_t i) const { return reinterpret_cast<uintptr_t>(&words_[i]); }
  StackWindow window() const { return {At(0), At(64)}; }

  // A frame with its stack pointer at word `sp`, rbp at word `bp`.
  Frame FrameAt(size_t sp, size_t bp = 0, bool exact = true) const {
    return {{.pc = 77, .sp = At(sp), .bp = bp == 0 ? 5 : At(bp), .bx = 6}, exact};
  }

  static UnwindWord Word(const FrameRule& rule) {
    UnwindWord word;
    EXPECT_TRUE(UnwindWord::Encode(rule, &word));
    return word;
  }

  static FrameRule Rule(uint8_t reg, int32_t cfa) {
    return {.cfa = {.kind = CfaRule::Kind::kRegister, .reg = reg, .offset = cfa},
            .return_address = {Kind::kAtCfa, 0, -8}};
  }

  // By the general rule; by the word too, where it has one: both must say the same.
  FrameStep Step(const FrameRule& rule, Frame* frame) const {
    Frame other = *frame;
    const FrameStep step = StepByRule(rule, window(), frame);
    UnwindWord word;
    if (UnwindWord::Encode(rule, &word) && word.kind() != UnwindWord::Kind::kNone) {
      EXPECT_EQ(StepByWord(word, window(), &other), step);
      EXPECT_EQ(other.registers.pc, frame->registers.pc);
      EXPECT_EQ(other.registers.sp, frame->registers.sp);
      EXPECT_EQ(other.registers.bp, frame->registers.bp);
      EXPECT_EQ(other.registers.bx, frame->registers.bx);
    }
    return step;
  }

  alignas(16) uintptr_t words_[64];
};

TEST_F(FrameStepTest, FromTheStackPointer) {
  FrameRule rule = Rule(kDwarfRsp, 40);
  rule.rbp = {Kind::kAtCfa, 0, -16};
  rule.rbx = {Kind::kAtCfa, 0, -24};
  Frame frame = FrameAt(10);
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1014u);
  EXPECT_EQ(frame.registers.bp, 1013u);
  EXPECT_EQ(frame.registers.bx, 1012u);
  EXPECT_EQ(frame.registers.sp, At(15));
  EXPECT_FALSE(frame.exact);
}

TEST_F(FrameStepTest, FromTheFramePointer) {
  Frame frame = FrameAt(10, 20);
  ASSERT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1021u);
  EXPECT_EQ(frame.registers.sp, At(22));
  EXPECT_EQ(frame.registers.bp, At(20)) << "not saved: unchanged";
  EXPECT_EQ(frame.registers.bx, 6u);
}

TEST_F(FrameStepTest, InThePlt) {
  FrameRule rule = Rule(0, 0);
  rule.cfa = {.kind = CfaRule::Kind::kPlt, .reg = 11};
  Frame frame = FrameAt(10);
  frame.registers.pc = 0x100a;
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1010u);
  frame = FrameAt(10);
  frame.registers.pc = 0x100b;
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1011u);
}

TEST_F(FrameStepTest, RegistersOfTheInterruptedInstruction) {
  mcontext_t saved{};
  saved.gregs[REG_R10] = static_cast<greg_t>(At(30));
  Frame frame = FrameAt(10);
  EXPECT_EQ(Step(Rule(10, 0), &frame), FrameStep::kNoRow) << "r10 is not known";
  frame.registers.interrupted = &saved;
  ASSERT_EQ(Step(Rule(10, 0), &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1029u);
  EXPECT_EQ(frame.registers.sp, At(30));
  EXPECT_EQ(frame.registers.interrupted, nullptr) << "the caller's are others";
}

TEST_F(FrameStepTest, ARealignedFunction) {
  FrameRule rule = Rule(0, 0);
  rule.cfa = {.kind = CfaRule::Kind::kAtRegister, .reg = kDwarfRbp, .offset = -8, .addend = 0};
  rule.rbp = {Kind::kAtRegister, kDwarfRbp, 0};
  words_[19] = At(40);
  Frame frame = FrameAt(10, 20);
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1039u);
  EXPECT_EQ(frame.registers.sp, At(40));
  EXPECT_EQ(frame.registers.bp, 1020u);
}

TEST_F(FrameStepTest, TheEpilogueOfARealignedFunctionHasRestoredRbp) {
  mcontext_t saved{};
  saved.gregs[REG_R10] = static_cast<greg_t>(At(30));
  FrameRule rule = Rule(10, 0);
  rule.rbp = {Kind::kAtRegister, kDwarfRbp, 0};
  Frame frame = FrameAt(10, 50);  // beyond the CFA: the caller's already
  frame.registers.interrupted = &saved;
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.bp, At(50));
}

TEST_F(FrameStepTest, TheEpilogueOfARealignedFunctionHasRestoredRbx) {
  mcontext_t saved{};
  saved.gregs[REG_R10] = static_cast<greg_t>(At(30));
  FrameRule rule = Rule(10, 0);
  rule.rbx = {Kind::kAtRegister, kDwarfRbp, -24};
  Frame frame = FrameAt(10);  // rbp is the caller's already, and no address at all
  frame.registers.interrupted = &saved;
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.bx, 6u);
}

// A thrower's frame from word 10 to word 30, the CFA, with what libgcc knows of its caller from
// word 12 on, and of the frame to go on in, whose callee's CFA is word 50, from word 20 on.
class ThrowerTest : public FrameStepTest {
 protected:
  ThrowerTest() {
    words_[12] = At(29);
    words_[14] = At(30);
    words_[15] = kCaller;
    words_[20] = At(49);
    words_[22] = At(50);
    words_[23] = kLandingPad;
    words_[28] = At(35);
    words_[29] = kCaller;
    words_[49] = kTarget;
    rule_.rbp = {Kind::kAtCfa, 0, -16};
    rule_.throws = true;
  }

  static constexpr uintptr_t kCaller = 2000;
  static constexpr uintptr_t kTarget = 3000;
  static constexpr uintptr_t kLandingPad = 3010;
  FrameRule rule_ = Rule(kDwarfRbp, 16);
};

TEST_F(ThrowerTest, GoesOnInItsCallerAtFirst) {
  Frame frame = FrameAt(10, 28, false);
  ASSERT_EQ(Step(rule_, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, kCaller);
  EXPECT_EQ(frame.registers.sp, At(30));
  EXPECT_EQ(frame.registers.bp, At(35));
}

TEST_F(ThrowerTest, GoesOnInItsTargetOnceItHasTakenItsRegisters) {
  words_[28] = At(55);
  words_[29] = kTarget;
  Frame frame = FrameAt(10, 28, false);
  ASSERT_EQ(Step(rule_, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, kTarget);
  EXPECT_EQ(frame.registers.sp, At(50));
  EXPECT_EQ(frame.registers.bp, At(55));
}

TEST_F(ThrowerTest, AlsoWhenTheLandingPadIsWrittenDown) {
  words_[29] = kTarget;
  words_[49] = kLandingPad;
  Frame frame = FrameAt(10, 28);
  ASSERT_EQ(Step(rule_, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.sp, At(50));
}

TEST_F(ThrowerTest, WithoutATargetItIsAsAnyFrame) {
  words_[29] = kTarget;
  words_[49] = 0;  // neither its return address nor the landing pad
  Frame frame = FrameAt(10, 28);
  ASSERT_EQ(Step(rule_, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, kTarget);
  EXPECT_EQ(frame.registers.sp, At(30));
}

TEST_F(FrameStepTest, WhatIsJumpedToIsAnExactInstruction) {
  FrameRule rule = Rule(kDwarfRsp, 8);
  rule.enters_caller = true;
  Frame frame = FrameAt(10);
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1010u);
  EXPECT_TRUE(frame.exact);
}

TEST_F(FrameStepTest, ASignalFrameGivesEveryRegisterBack) {
  ucontext_t context{};
  static_assert(sizeof(context.uc_mcontext.gregs) == 23 * 8);
  const size_t gregs = offsetof(ucontext_t, uc_mcontext.gregs) / 8;
  words_[10 + gregs + REG_RIP] = 4242;
  words_[10 + gregs + REG_RSP] = At(60);
  words_[10 + gregs + REG_R11] = At(62);
  FrameRule rule{.return_address = {Kind::kAtRegister, kDwarfRsp, 168},
                 .rsp = {Kind::kAtRegister, kDwarfRsp, 160},
                 .signal_frame = true};
  rule.cfa = {.kind = CfaRule::Kind::kAtRegister, .reg = kDwarfRsp, .offset = 160};
  Frame frame = FrameAt(10, 0, false);
  ASSERT_EQ(Step(rule, &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 4242u);
  EXPECT_EQ(frame.registers.sp, At(60));
  EXPECT_TRUE(frame.exact);
  ASSERT_NE(frame.registers.interrupted, nullptr);
  ASSERT_EQ(Step(Rule(11, 0), &frame), FrameStep::kCaller);
  EXPECT_EQ(frame.registers.pc, 1061u);
}

TEST_F(FrameStepTest, TheRoot) {
  Frame frame = FrameAt(10);
  EXPECT_EQ(Step({.return_address = {Kind::kUndefined}}, &frame), FrameStep::kRoot);
  words_[10] = 0;
  EXPECT_EQ(Step(Rule(kDwarfRsp, 8), &frame), FrameStep::kRoot) << "a return address of null";
}

TEST_F(FrameStepTest, NeverLeavesTheWindow) {
  Frame frame = FrameAt(10);
  EXPECT_EQ(Step(Rule(kDwarfRsp, 54 * 8), &frame), FrameStep::kCaller) << "the last word";
  frame = FrameAt(10);
  EXPECT_EQ(Step(Rule(kDwarfRsp, 55 * 8), &frame), FrameStep::kBadFrame) << "one behind";
  frame = FrameAt(0, 0, true);
  EXPECT_EQ(Step(Rule(kDwarfRsp, 0), &frame), FrameStep::kBadFrame) << "one before";
  FrameRule far = Rule(kDwarfRsp, 16);
  far.rbp = {Kind::kAtCfa, 0, -504};
  frame = FrameAt(1);
  EXPECT_EQ(Step(far, &frame), FrameStep::kBadFrame);
  for (uintptr_t bp : {uintptr_t{0}, ~uintptr_t{0}, ~uintptr_t{7}, ~uintptr_t{15}, At(0) - 16}) {
    frame = FrameAt(10);
    frame.registers.bp = bp;
    EXPECT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kBadFrame) << bp;
  }
}

TEST_F(FrameStepTest, NeverMisaligned) {
  Frame frame = FrameAt(10, 20);
  frame.registers.bp += 4;
  EXPECT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kBadFrame);
}

TEST_F(FrameStepTest, AlwaysUpwards) {
  Frame frame = FrameAt(30, 20);
  EXPECT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kBadFrame) << "downwards";
  frame = FrameAt(22, 20, false);
  EXPECT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kBadFrame) << "on the spot";
  frame = FrameAt(22, 20, true);
  EXPECT_EQ(Step(Rule(kDwarfRbp, 16), &frame), FrameStep::kCaller)
      << "an interrupted instruction may have popped its return address";
}

}  // namespace
}  // namespace curg::internal
