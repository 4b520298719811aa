// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/single_step.h"

#include <signal.h>
#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>

#include "runtime/check.h"
#include "runtime/traceback.h"
#include "tests/runtime/mixed_work.h"

namespace curg::internal {
namespace {

namespace fcontext = boost::context::detail;

constexpr uint64_t kTrapFlag = 0x100;
constexpr size_t kDepthMax = 256;

// The calls made on one stack: where each left its return address.
struct ShadowStack {
  StackBounds bounds;
  size_t depth = 0;
  uintptr_t slot[kDepthMax];
  uintptr_t return_address[kDepthMax];
};

ShadowStack g_stacks[2];
const CodeRegions* g_regions = nullptr;
StepTally g_tallies[CodeRegions::kCount];
void (*g_work)(int round) = nullptr;
int g_rounds = 0;
uintptr_t g_last_pc = 0;
uintptr_t g_last_sp = 0;
bool g_stop = false;

uintptr_t WordAt(uintptr_t address) { return *reinterpret_cast<const uintptr_t*>(address); }

bool InSwitch(uintptr_t pc) {
  return pc - reinterpret_cast<uintptr_t>(&fcontext::jump_fcontext) < 0x6a ||
         pc - reinterpret_cast<uintptr_t>(&fcontext::ontop_fcontext) < 0x68;
}

// Whether the instruction before `registers` was a call: it pushed the address behind itself and
// did not go on there.
bool WasCall(const Registers& registers) {
  if (registers.sp + 8 != g_last_sp) return false;
  const uintptr_t pushed = WordAt(registers.sp);
  if (pushed <= g_last_pc || pushed > g_last_pc + 15) return false;
  return registers.pc <= g_last_pc || registers.pc >= pushed;
}

ShadowStack* Follow(const Registers& registers) {
  for (ShadowStack& stack : g_stacks) {
    if (registers.sp < stack.bounds.low || registers.sp > stack.bounds.high) continue;
    if (!InSwitch(registers.pc)) {
      while (stack.depth > 0 && stack.slot[stack.depth - 1] < registers.sp) --stack.depth;
    }
    if (WasCall(registers) && stack.depth < kDepthMax) {
      stack.slot[stack.depth] = registers.sp;
      stack.return_address[stack.depth++] = WordAt(registers.sp);
    }
    g_last_pc = registers.pc;
    g_last_sp = registers.sp;
    return &stack;
  }
  return nullptr;
}

bool IsExact(const Traceback& walk, const uintptr_t* pcs, uintptr_t pc, const ShadowStack& stack) {
  if (walk.end != TracebackEnd::kRoot || walk.depth != stack.depth + 1) return false;
  if (pcs[0] != pc) return false;
  for (size_t i = 0; i < stack.depth; ++i) {
    if (pcs[stack.depth - i] != stack.return_address[i]) return false;
  }
  return true;
}

void OnTrap(int, siginfo_t*, void* arg) {
  ucontext_t& context = *static_cast<ucontext_t*>(arg);
  if (g_stop) {
    context.uc_mcontext.gregs[REG_EFL] &= ~static_cast<greg_t>(kTrapFlag);
    return;
  }
  const Registers registers = RegistersOf(context);
  StepTally& tally = g_tallies[g_regions->Of(registers.pc)];
  const ShadowStack* stack = Follow(registers);
  ++tally.steps;
  if (stack == nullptr) return;
  uintptr_t pcs[kDepthMax];
  const Traceback walk = WalkStack(registers, stack->bounds, pcs);
  tally.rooted += walk.end == TracebackEnd::kRoot ? 1 : 0;
  if (IsExact(walk, pcs, registers.pc, *stack)) {
    ++tally.exact;
  } else if (tally.first_wrong == 0) {
    tally.first_wrong = registers.pc;
  }
}

// The second flow: some work, then back, for as long as it is asked.
void SecondFlow(fcontext::transfer_t transfer) {
  for (int i = 0;; ++i) {
    PrintWork(i % 3);
    transfer = fcontext::jump_fcontext(transfer.fctx, nullptr);
  }
}

fcontext::transfer_t OnTop(fcontext::transfer_t transfer) {
  PrintWork(1);
  return transfer;
}

// The first flow: single-steps everything from here on.
void FirstFlow(fcontext::transfer_t from) {
  ShadowStack& second = g_stacks[1];
  fcontext::transfer_t other{};
  const size_t size = second.bounds.high - second.bounds.low;
  asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
  other.fctx =
      fcontext::make_fcontext(reinterpret_cast<void*>(second.bounds.high), size, &SecondFlow);
  other = fcontext::jump_fcontext(other.fctx, nullptr);
  for (int i = 0; i < g_rounds; ++i) {
    g_work(i);
    other = fcontext::jump_fcontext(other.fctx, nullptr);
  }
  other = fcontext::ontop_fcontext(other.fctx, nullptr, &OnTop);
  g_stop = true;
  asm volatile("nop; nop" ::: "memory");
  fcontext::jump_fcontext(from.fctx, nullptr);
}

// Not next to another: an empty stack's pointer would be in both.
StackBounds MapStack() {
  constexpr size_t kSize = 256 * 1024;
  constexpr size_t kApart = 64 * 1024;
  void* memory =
      mmap(nullptr, kSize + kApart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CURG_CHECK(memory != MAP_FAILED, "no memory for a stack");
  const auto low = reinterpret_cast<uintptr_t>(memory);
  return {low, low + kSize};
}

void RunStepped() {
  for (ShadowStack& stack : g_stacks) stack.bounds = MapStack();
  static char signal_stack[64 * 1024];
  const stack_t alternate{.ss_sp = signal_stack, .ss_flags = 0, .ss_size = sizeof(signal_stack)};
  CURG_CHECK(sigaltstack(&alternate, nullptr) == 0, "run this on a plain thread");
  struct sigaction action {};
  struct sigaction before {};
  action.sa_sigaction = &OnTrap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGTRAP, &action, &before);
  const StackBounds bounds = g_stacks[0].bounds;
  const auto first = fcontext::make_fcontext(reinterpret_cast<void*>(bounds.high),
                                             bounds.high - bounds.low, &FirstFlow);
  fcontext::jump_fcontext(first, nullptr);
  sigaction(SIGTRAP, &before, nullptr);
}

}  // namespace

std::vector<StepTally> SingleStep(void (*work)(int round), int rounds) {
  const CodeRegions regions;
  g_regions = &regions;
  g_work = work;
  g_rounds = rounds;
  RunStepped();
  return {g_tallies, g_tallies + CodeRegions::kCount};
}

StepTally SumOf(const std::vector<StepTally>& tallies) {
  StepTally sum;
  for (const StepTally& tally : tallies) {
    sum.steps += tally.steps;
    sum.exact += tally.exact;
    sum.rooted += tally.rooted;
  }
  return sum;
}

}  // namespace curg::internal
