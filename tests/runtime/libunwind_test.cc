// SPDX-License-Identifier: Apache-2.0
#include "runtime/libunwind.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/mixed_work.h"

namespace curg::internal {
namespace {

constexpr size_t kDepthMax = 200;

std::string FileOf(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) == 0 ? "" : info.dli_fname;
}

const LibUnwind& Reference() {
  absl::StatusOr<const LibUnwind*> library = LibUnwind::Open();
  EXPECT_TRUE(library.ok()) << library.status();
  return **library;
}

TEST(LibUnwind, LeavesExceptionsAndBacktraceWhereTheyWere) {
  Reference();
  const std::string resume = FileOf(reinterpret_cast<const void*>(&_Unwind_Resume));
  EXPECT_NE(resume.find("libgcc_s"), std::string::npos) << resume;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which have their own
  const std::string raise = FileOf(reinterpret_cast<const void*>(&_Unwind_RaiseException));
  EXPECT_NE(raise.find("libgcc_s"), std::string::npos) << raise;
  const std::string trace = FileOf(dlsym(RTLD_DEFAULT, "backtrace"));
  EXPECT_NE(trace.find("libc.so"), std::string::npos) << trace;
#endif
  EXPECT_THROW(throw std::runtime_error("through libgcc"), std::runtime_error);
}

TEST(LibUnwind, OpensOnce) { EXPECT_EQ(&Reference(), &Reference()); }

__attribute__((noinline)) size_t WalkFromHere(std::vector<uintptr_t>* pcs) {
  ucontext_t context;
  getcontext(&context);
  return Reference().Walk(context, *pcs);
}

TEST(LibUnwind, WalksToTheBeginningOfTheThread) {
  std::vector<uintptr_t> pcs(kDepthMax);
  const size_t depth = WalkFromHere(&pcs);
  ASSERT_GT(depth, 5u);
  ASSERT_LT(depth, kDepthMax);
  EXPECT_EQ(FileOf(reinterpret_cast<void*>(pcs[0])),
            FileOf(reinterpret_cast<void*>(&WalkFromHere)));
  std::vector<uintptr_t> two(2);
  EXPECT_EQ(WalkFromHere(&two), 2u);
}

// Compares the two unwinders in a signal handler.
struct Comparison {
  const LibUnwind* reference = nullptr;
  StackBounds bounds;
  // written by the handler
  std::atomic<uint64_t> samples{0};
  uint64_t agree = 0;
  uint64_t rooted = 0;          // the tables' walk reached the beginning of the thread
  uint64_t exception_only = 0;  // they differ, and the leaf is in the unwinder of exceptions
  uint64_t other = 0;           // they differ otherwise
  uintptr_t other_pc = 0;
  uintptr_t libgcc_begin = 0;
  uintptr_t libgcc_end = 0;
};
Comparison g_comparison;

void Compare(int, siginfo_t*, void* arg) {
  const int saved_errno = errno;
  const ucontext_t& context = *static_cast<ucontext_t*>(arg);
  Comparison& c = g_comparison;
  uintptr_t ours[kDepthMax];
  uintptr_t theirs[kDepthMax];
  const Registers registers = RegistersOf(context);
  const Traceback walk = WalkStack(registers, c.bounds, ours);
  const size_t depth = c.reference->Walk(context, theirs);
  c.rooted += walk.end == TracebackEnd::kRoot ? 1 : 0;
  if (depth == walk.depth && std::equal(ours, ours + depth, theirs)) {
    ++c.agree;
  } else if (registers.pc >= c.libgcc_begin && registers.pc < c.libgcc_end) {
    ++c.exception_only;
  } else {
    ++c.other;
    c.other_pc = registers.pc;
  }
  c.samples.fetch_add(1, std::memory_order_relaxed);  // relaxed: read on this very thread
  errno = saved_errno;
}

void FindLibgcc() {
  FILE* maps = std::fopen("/proc/self/maps", "r");
  ASSERT_NE(maps, nullptr);
  char line[512];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char access[5];
    if (std::sscanf(line, "%lx-%lx %4s", &begin, &end, access) != 3 || access[2] != 'x') continue;
    if (std::strstr(line, "libgcc_s") == nullptr) continue;
    g_comparison.libgcc_begin = begin;
    g_comparison.libgcc_end = end;
  }
  std::fclose(maps);
}

StackBounds BoundsOfThisThread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  EXPECT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
  EXPECT_EQ(pthread_attr_getstack(&attributes, &low, &size), 0);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

// Interrupts this thread every 250 us of real time.
class ScopedInterrupts {
 public:
  ScopedInterrupts() {
    const stack_t stack{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action {};
    action.sa_sigaction = &Compare;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    EXPECT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer_), 0);
    const itimerspec period{{0, 250'000}, {0, 250'000}};
    EXPECT_EQ(timer_settime(timer_, 0, &period, nullptr), 0);
  }
  ~ScopedInterrupts() {
    timer_delete(timer_);
    signal(SIGALRM, SIG_IGN);
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    sigaltstack(&none, nullptr);
  }

 private:
  std::vector<char> stack_ = std::vector<char>(256 * 1024);
  timer_t timer_{};
};

TEST(LibUnwind, AgreesWithTheTablesInASignalHandler) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's runtime defers signals";
#endif
  constexpr uint64_t kSamples = 12000;
  ASSERT_TRUE(RefreshUnwindTables().ok());
  Comparison& c = g_comparison;
  c.reference = &Reference();
  c.bounds = BoundsOfThisThread();
  FindLibgcc();
  MixedWork(1);
  std::vector<uintptr_t> pcs(kDepthMax);
  WalkFromHere(&pcs);  // libunwind sets itself up
  {
    ScopedInterrupts interrupts;
    while (c.samples.load(std::memory_order_relaxed) < kSamples) MixedWork(30);
  }
  const uint64_t samples = c.samples.load(std::memory_order_relaxed);
  std::printf("%lu samples: %lu agree, %lu differ within a throw, %lu otherwise; %lu to the root\n",
              samples, c.agree, c.exception_only, c.other, c.rooted);
  Dl_info where{};
  dladdr(reinterpret_cast<void*>(c.other_pc), &where);
  // libunwind is wrong in a handful of epilogues (traceback_single_step_test knows the truth
  // there).
  EXPECT_LE(c.other, samples / 2000)
      << std::hex << c.other_pc << " " << (where.dli_sname == nullptr ? "?" : where.dli_sname);
  EXPECT_LE(c.exception_only, samples / 100);
  EXPECT_GE(c.rooted, samples - samples / 1000);
}

}  // namespace
}  // namespace curg::internal
