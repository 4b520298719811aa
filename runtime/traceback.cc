// SPDX-License-Identifier: Apache-2.0
#include "runtime/traceback.h"

#include "runtime/unwind_index.h"
#include "runtime/walk_loop.h"

namespace curg::internal {

[[gnu::hot]] Registers RegistersOf(const ucontext_t& context) noexcept {
  const greg_t* registers = context.uc_mcontext.gregs;
  return {.pc = static_cast<uintptr_t>(registers[REG_RIP]),
          .sp = static_cast<uintptr_t>(registers[REG_RSP]),
          .bp = static_cast<uintptr_t>(registers[REG_RBP]),
          .bx = static_cast<uintptr_t>(registers[REG_RBX]),
          .interrupted = &context.uc_mcontext};
}

// In assembly, so that nothing has touched the caller's registers yet.
static_assert(sizeof(Registers) == 40 && offsetof(Registers, interrupted) == 32);
[[gnu::naked, gnu::noinline]] Registers RegistersHere() noexcept {
  asm("mov (%rsp), %rax\n\t"
      "mov %rax, (%rdi)\n\t"
      "lea 8(%rsp), %rax\n\t"
      "mov %rax, 8(%rdi)\n\t"
      "mov %rbp, 16(%rdi)\n\t"
      "mov %rbx, 24(%rdi)\n\t"
      "movq $0, 32(%rdi)\n\t"
      "mov %rdi, %rax\n\t"
      "ret");
}

Traceback WalkStack(const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs) noexcept {
  UnwindReader reader(ProcessUnwindIndex());
  return WalkBy([&](uintptr_t pc) { return reader.Find(pc); }, start, bounds, pcs);
}

}  // namespace curg::internal
