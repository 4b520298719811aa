// SPDX-License-Identifier: Apache-2.0
#include "runtime/frame_step.h"

#include <cstddef>

namespace curg::internal {
namespace {

// Stack words were written as values of any type.
using StackWord [[gnu::may_alias]] = uintptr_t;

// DWARF's order of the registers, in the kernel's.
constexpr uint8_t kGregOf[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                               REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};

bool ReadRegister(const Registers& registers, uint8_t reg, uintptr_t* value) {
  switch (reg) {
    case kDwarfRbx:
      *value = registers.bx;
      return true;
    case kDwarfRbp:
      *value = registers.bp;
      return true;
    case kDwarfRsp:
      *value = registers.sp;
      return true;
    case kDwarfReturnAddress:
      *value = registers.pc;
      return true;
    default:
      if (registers.interrupted == nullptr || reg >= sizeof(kGregOf)) return false;
      *value = static_cast<uintptr_t>(registers.interrupted->gregs[kGregOf[reg]]);
      return true;
  }
}

FrameStep FindCfa(const CfaRule& rule, const StackWindow& window, const Registers& registers,
                  uintptr_t* cfa) {
  if (rule.kind == CfaRule::Kind::kUnknown) return FrameStep::kNoRow;
  if (rule.kind == CfaRule::Kind::kPlt) {
    *cfa = registers.sp + 8 + ((registers.pc & 15) >= rule.reg ? 8 : 0);
    return FrameStep::kCaller;
  }
  if (!ReadRegister(registers, rule.reg, cfa)) return FrameStep::kNoRow;
  *cfa += static_cast<uintptr_t>(int64_t{rule.offset});
  if (rule.kind == CfaRule::Kind::kAtRegister) {
    if (!window.Load(*cfa, cfa)) return FrameStep::kBadFrame;
    *cfa += static_cast<uintptr_t>(int64_t{rule.addend});
  }
  return FrameStep::kCaller;
}

// The caller's value of a register that holds `now` here.
FrameStep FindValue(const ValueRule& rule, uintptr_t cfa, uintptr_t now, const StackWindow& window,
                    const Registers& registers, uintptr_t* value) {
  using Kind = ValueRule::Kind;
  const auto offset = static_cast<uintptr_t>(int64_t{rule.offset});
  uintptr_t base = cfa;
  switch (rule.kind) {
    case Kind::kSame:
      *value = now;
      return FrameStep::kCaller;
    case Kind::kUndefined:
    case Kind::kUnknown:
      *value = 0;
      return FrameStep::kCaller;
    case Kind::kRegister:
    case Kind::kAtRegister:
      if (!ReadRegister(registers, rule.reg, &base)) return FrameStep::kNoRow;
      break;
    case Kind::kAtCfa:
    case Kind::kIsCfa:
      break;
  }
  *value = base + offset;
  if (rule.kind == Kind::kRegister || rule.kind == Kind::kIsCfa) return FrameStep::kCaller;
  return window.Load(*value, value) ? FrameStep::kCaller : FrameStep::kBadFrame;
}

// Compilers forget to say that the epilogue of a realigned function has restored rbp, and rbx
// before it: up to its end they claim that the caller's are at places relative to rbp. While that
// is so, rbp points into this very frame.
ValueRule RepairSaved(const ValueRule& rule, const Registers& registers, uintptr_t cfa) {
  if (rule.kind != ValueRule::Kind::kAtRegister || rule.reg != kDwarfRbp) return rule;
  const bool own = registers.bp >= registers.sp && registers.bp < cfa;
  return own ? rule : ValueRule{ValueRule::Kind::kSame};
}

// Whether a caller's stack pointer can follow `frame`'s: upwards always, so that every walk ends.
// At an exact instruction the return address may already be popped.
[[gnu::hot]] bool Ascends(uintptr_t sp, const StackWindow& window, const Frame& frame) {
  if (sp % 8 != 0 || sp > window.high) return false;
  return sp > frame.registers.sp || (frame.exact && sp == frame.registers.sp);
}

// Where the frame of a thrower (libgcc's) goes on. To end a leg of a throw, libgcc makes its own
// frame its target's ("installs the context"): where it saved registers at its entry it writes
// those of the target, the return address last, and jumps. In between, the frame's caller is the
// target already, the frames between them are given up, and only the stack pointer is wrong. It is
// in the target's _Unwind_Context, one of the frame's variables. Another such variable describes
// the frame's real caller, and tells whether the return address is still that one's.
//
// Of an _Unwind_Context, word by word: where the return address is saved, something else, the stack
// pointer above the return address, where to go on.
//
// The target's stack pointer; 0: the caller is the real one.
uintptr_t FindTarget(const StackWindow& window, uintptr_t sp, uintptr_t cfa,
                     uintptr_t return_address) {
  constexpr uintptr_t kCfa = 2 * sizeof(uintptr_t);
  constexpr uintptr_t kGoesOnAt = 3 * sizeof(uintptr_t);
  bool replaced = false;
  uintptr_t found = 0;
  for (uintptr_t at = sp; at + kGoesOnAt < cfa; at += sizeof(uintptr_t)) {
    uintptr_t slot = 0;
    uintptr_t above = 0;
    uintptr_t goes_on_at = 0;
    if (!window.Load(at, &slot) || !window.Load(at + kCfa, &above)) return 0;
    if (above != slot + 8 || above < cfa || !window.Load(at + kGoesOnAt, &goes_on_at)) continue;
    if (above == cfa) {
      replaced = goes_on_at != return_address;
      continue;
    }
    uintptr_t saved = 0;
    if (window.Load(slot, &saved) && (saved == return_address || saved == goes_on_at))
      found = above;
  }
  return replaced ? found : 0;
}

// The kernel saved every register where the signal frame's rule finds the program counter.
const mcontext_t* InterruptedRegisters(const FrameRule& rule, const StackWindow& window,
                                       const Registers& registers) {
  const ValueRule& pc = rule.return_address;
  if (pc.kind != ValueRule::Kind::kAtRegister || pc.reg != kDwarfRsp) return nullptr;
  const uintptr_t at = registers.sp + static_cast<uintptr_t>(int64_t{pc.offset}) -
                       offsetof(mcontext_t, gregs) - REG_RIP * sizeof(greg_t);
  if (at % alignof(mcontext_t) != 0) return nullptr;
  if (!window.Holds(at, offsetof(mcontext_t, gregs) + sizeof(gregset_t))) return nullptr;
  return reinterpret_cast<const mcontext_t*>(at);
}

[[gnu::hot]] FrameStep Enter(const Registers& caller, bool exact, Frame* frame) {
  if (caller.pc == 0) return FrameStep::kRoot;
  *frame = {caller, exact};
  return FrameStep::kCaller;
}

// By rows of the usual form: the return address in the word below the CFA.
[[gnu::hot]] FrameStep StepToCfa(UnwindWord word, uintptr_t cfa, const StackWindow& window,
                                 Frame* frame) {
  if (!Ascends(cfa, window, *frame)) return FrameStep::kBadFrame;
  Registers caller{.sp = cfa, .bp = frame->registers.bp, .bx = frame->registers.bx};
  if (!window.Load(cfa - 8, &caller.pc)) return FrameStep::kBadFrame;
  const uint32_t rbp_below = word.rbp_below();
  const uint32_t rbx_below = word.rbx_below();
  if (rbp_below != 0 && !window.Load(cfa - rbp_below, &caller.bp)) return FrameStep::kBadFrame;
  if (rbx_below != 0 && !window.Load(cfa - rbx_below, &caller.bx)) return FrameStep::kBadFrame;
  return Enter(caller, false, frame);
}

}  // namespace

[[gnu::hot]] bool StackWindow::Load(uintptr_t address, uintptr_t* word) const noexcept {
  if (address % 8 != 0 || !Holds(address, 8)) return false;
  *word = *reinterpret_cast<const StackWord*>(address);
  return true;
}

[[gnu::hot]] FrameStep StepByWord(UnwindWord word, const StackWindow& window,
                                  Frame* frame) noexcept {
  const Registers& registers = frame->registers;
  switch (word.kind()) {
    case UnwindWord::Kind::kRsp:
      return StepToCfa(word, registers.sp + word.cfa_offset(), window, frame);
    case UnwindWord::Kind::kRbp:
      return StepToCfa(word, registers.bp + word.cfa_offset(), window, frame);
    case UnwindWord::Kind::kRoot:
      return FrameStep::kRoot;
    default:
      return StepByRule(word.Decode(), window, frame);
  }
}

FrameStep StepByRule(const FrameRule& rule, const StackWindow& window, Frame* frame) noexcept {
  using Kind = ValueRule::Kind;
  if (rule.return_address.kind == Kind::kUndefined) return FrameStep::kRoot;
  if (rule.return_address.kind == Kind::kUnknown) return FrameStep::kNoRow;
  const Registers& now = frame->registers;
  Registers caller;
  uintptr_t cfa = 0;
  FrameStep step = FindCfa(rule.cfa, window, now, &cfa);
  const auto find = [&](const ValueRule& value, uintptr_t current, uintptr_t* result) {
    if (step == FrameStep::kCaller) step = FindValue(value, cfa, current, window, now, result);
  };
  find(rule.return_address, now.pc, &caller.pc);
  find(rule.rsp, now.sp, &caller.sp);
  find(RepairSaved(rule.rbp, now, cfa), now.bp, &caller.bp);
  find(RepairSaved(rule.rbx, now, cfa), now.bx, &caller.bx);
  if (step != FrameStep::kCaller) return step;
  const uintptr_t target = rule.throws ? FindTarget(window, now.sp, cfa, caller.pc) : 0;
  if (target != 0) caller.sp = target;
  if (!Ascends(caller.sp, window, *frame)) return FrameStep::kBadFrame;
  if (rule.signal_frame) caller.interrupted = InterruptedRegisters(rule, window, now);
  return Enter(caller, rule.signal_frame || rule.enters_caller, frame);
}

}  // namespace curg::internal
