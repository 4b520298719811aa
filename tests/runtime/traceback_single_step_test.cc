// SPDX-License-Identifier: Apache-2.0
//
// Walks the stack before every single instruction of some work, and compares with a shadow stack
// kept by watching calls and returns. The work runs on fcontext stacks and switches between two of
// them.
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
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

struct Tally {
  uint64_t steps = 0;
  uint64_t exact = 0;
  uint64_t rooted = 0;  // ended at the task's entry, whatever came before
  uintptr_t first_wrong = 0;
};

// Known ranges of code; what is in none is the last one.
struct Region {
  const char* name;
  uintptr_t begin;
  uintptr_t end;
};

constexpr size_t kRegionMax = 16;
ShadowStack g_stacks[2];
Region g_regions[kRegionMax];
Tally g_tallies[kRegionMax];
size_t g_region_count = 0;
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
  size_t region = 0;
  while (region + 1 < g_region_count &&
         (registers.pc < g_regions[region].begin || registers.pc >= g_regions[region].end)) {
    ++region;
  }
  Tally& tally = g_tallies[region];
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

// The text of the module that has `symbol`, from /proc/self/maps.
void AddRegion(const char* name, const char* file) {
  FILE* maps = std::fopen("/proc/self/maps", "r");
  ASSERT_NE(maps, nullptr);
  char line[512];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char access[5];
    if (std::sscanf(line, "%lx-%lx %4s", &begin, &end, access) != 3) continue;
    if (access[2] != 'x' || std::strstr(line, file) == nullptr) continue;
    ASSERT_LT(g_region_count, kRegionMax);
    g_regions[g_region_count++] = {name, begin, end};
  }
  std::fclose(maps);
}

void MapRegions() {
  AddRegion("fcontext", "libboost_context");
  AddRegion("libgcc", "libgcc_s.so");
  AddRegion("libc", "libc.so");
  AddRegion("libm", "libm.so");
  AddRegion("libstdc++", "libstdc++.so");
  AddRegion("ld.so", "ld-linux");
  AddRegion("vdso", "[vdso]");
  g_regions[g_region_count++] = {"program", 0, 0};
}

// All kinds; the regular expressions are left out, because one search is half a million steps.
void SomeWork(int i) {
  SortWork(1);
  PrintWork(3);
  StreamWork(3);
  CopyWork(20);
  AllocateWork(60);
  MathWork(3);
  ClockWork(5);
  RealignedWork(2);
  RecursiveWork(1);
  ExceptionWork(1 + i % 2);
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
  for (int i = 0; i < 3; ++i) {
    SomeWork(i);
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
  EXPECT_NE(memory, MAP_FAILED);
  const auto low = reinterpret_cast<uintptr_t>(memory);
  return {low, low + kSize};
}

void RunStepped() {
  MixedWork(1);  // whatever is done once in a process
  for (ShadowStack& stack : g_stacks) stack.bounds = MapStack();
  static char signal_stack[64 * 1024];
  const stack_t alternate{.ss_sp = signal_stack, .ss_flags = 0, .ss_size = sizeof(signal_stack)};
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_sigaction = &OnTrap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  const StackBounds bounds = g_stacks[0].bounds;
  const auto first = fcontext::make_fcontext(reinterpret_cast<void*>(bounds.high),
                                             bounds.high - bounds.low, &FirstFlow);
  fcontext::jump_fcontext(first, nullptr);
  ASSERT_EQ(sigaction(SIGTRAP, &before, nullptr), 0);
}

TEST(TracebackSingleStep, EveryInstructionGivesTheCallChain) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's runtime defers signals and has no place for these switches";
#endif
  ASSERT_TRUE(RefreshUnwindTables().ok());
  MapRegions();
  RunStepped();
  std::map<std::string, Tally> by_name;
  for (size_t i = 0; i < g_region_count; ++i) {
    Tally& sum = by_name[g_regions[i].name];
    sum.steps += g_tallies[i].steps;
    sum.exact += g_tallies[i].exact;
    sum.rooted += g_tallies[i].rooted;
    if (g_tallies[i].steps != g_tallies[i].exact) sum.first_wrong = g_tallies[i].first_wrong;
  }
  for (const auto& [name, tally] : by_name) {
    std::printf("%-10s %8lu steps, %8lu wrong\n", name.c_str(), tally.steps,
                tally.steps - tally.exact);
    Dl_info symbol{};
    dladdr(reinterpret_cast<void*>(tally.first_wrong), &symbol);
    const char* near = symbol.dli_sname == nullptr ? "?" : symbol.dli_sname;
    // libgcc ends a throw by writing the handler's registers over those that its own frame saved,
    // one by one: in between, and until it jumps there, the frame's caller is no caller any more.
    const uint64_t allowed = name == "libgcc" ? tally.steps / 10 : 0;
    EXPECT_GE(tally.rooted + allowed / 20, tally.steps) << name;
    EXPECT_LE(tally.steps - tally.exact, allowed)
        << name << " first at " << std::hex << tally.first_wrong << " near " << near << " in "
        << (symbol.dli_fname == nullptr ? "?" : symbol.dli_fname);
  }
  EXPECT_GT(by_name["program"].steps, 10000u);
  EXPECT_GT(by_name["libc"].steps, 10000u);
  EXPECT_GT(by_name["libstdc++"].steps, 10000u);
  EXPECT_GT(by_name["libgcc"].steps, 1000u);
  EXPECT_GT(by_name["fcontext"].steps, 100u);
}

}  // namespace
}  // namespace curg::internal
