// SPDX-License-Identifier: Apache-2.0
//
// The loop of a walk, by whatever finds the rules: WalkStack's reader, or a cache in front of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/frame_step.h"
#include "runtime/traceback.h"
#include "runtime/unwind_index.h"

namespace curg::internal {

// What a function may keep below its stack pointer, and a row therefore refer to.
constexpr uintptr_t kRedZone = 128;

// All that a walk asks of the rule at the end of a task's stack.
inline constexpr FrameRule kBelowRoot = [] {
  FrameRule rule;
  rule.root_if_returned_to = true;
  return rule;
}();

// Never below the leaf's red zone: of a growing stack only what was reached is mapped.
inline StackWindow WindowOf(const Registers& start, StackBounds bounds) {
  const bool room = bounds.Contains(start.sp) && start.sp - bounds.low >= kRedZone;
  return {room ? start.sp - kRedZone : bounds.low, bounds.high};
}

// The address that belongs to the frame's instruction: a return address may be the first byte of
// another function already.
inline uintptr_t LookupAddress(const Frame& frame) {
  return frame.exact ? frame.registers.pc : frame.registers.pc - 1;
}

// Whether the frame is no function's, only where the first frame of a task would return to.
inline bool IsBelowRoot(const UnwindReader::Found& found, const Frame& frame) {
  return !frame.exact && found.rule != nullptr && found.rule->root_if_returned_to;
}

// What to write for a frame other than the leaf, so that one less lies in the instruction. The
// frame that a signal handler returns to is entered at its first byte.
inline uintptr_t RecordedPc(const UnwindReader::Found& found, const Frame& frame) {
  const bool first_byte = frame.exact || (found.rule != nullptr && found.rule->signal_frame);
  return frame.registers.pc + (first_byte ? 1 : 0);
}

inline FrameStep Step(const UnwindReader::Found& found, StackBounds bounds,
                      const StackWindow& window, Frame* frame) {
  const UnwindWord::Kind kind = found.word.kind();
  if (kind == UnwindWord::Kind::kNone) return FrameStep::kNoRow;
  if (kind == UnwindWord::Kind::kRoot) return FrameStep::kRoot;
  if (found.rule != nullptr && found.rule->return_address.kind == ValueRule::Kind::kUndefined) {
    return FrameStep::kRoot;
  }
  // An empty stack has its pointer at the end.
  const uintptr_t sp = frame->registers.sp;
  if (sp < bounds.low || sp > bounds.high) return FrameStep::kBadFrame;
  if (found.rule != nullptr) return StepByRule(*found.rule, window, frame);
  return StepByWord(found.word, window, frame);
}

inline TracebackEnd EndOf(FrameStep step) {
  switch (step) {
    case FrameStep::kRoot:
      return TracebackEnd::kRoot;
    case FrameStep::kNoRow:
      return TracebackEnd::kNoRow;
    default:
      return TracebackEnd::kBadFrame;
  }
}

struct IgnoreSteps {
  void operator()(const UnwindReader::Found&, const Registers&, const Registers&) const noexcept {}
};

// As WalkStack. `find(address)` gives the UnwindReader::Found for the instruction that has a byte
// at `address`; `observe(found, callee, caller)` is told of each step to a caller.
// Async-signal-safe if both are.
template <typename Find, typename Observe = IgnoreSteps>
Traceback WalkBy(Find find, const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs,
                 Observe observe = {}) noexcept {
  uintptr_t* const out = pcs.data();
  const size_t room = pcs.size();
  const StackWindow window = WindowOf(start, bounds);
  Frame frame{start};
  for (size_t depth = 0;; ++depth) {
    const UnwindReader::Found found = find(LookupAddress(frame));
    if (IsBelowRoot(found, frame)) return {depth, TracebackEnd::kRoot};
    if (depth == room) return {depth, TracebackEnd::kTruncated};
    out[depth] = depth == 0 ? frame.registers.pc : RecordedPc(found, frame);
    const Registers callee = frame.registers;
    const FrameStep step = Step(found, bounds, window, &frame);
    observe(found, callee, frame.registers);
    if (step != FrameStep::kCaller) return {depth + 1, EndOf(step)};
  }
}

}  // namespace curg::internal
