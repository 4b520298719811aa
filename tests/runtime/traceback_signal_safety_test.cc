// SPDX-License-Identifier: Apache-2.0
//
// WalkStack makes no system call (a filter would kill the process) and allocates nothing (malloc
// would abort), with and without tables.
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CURG_TRAP_MALLOC 1
namespace {
bool g_trap = false;
}  // namespace

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void __libc_free(void* block);

void* malloc(size_t size) {
  if (g_trap) std::abort();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  if (g_trap) std::abort();
  return __libc_calloc(count, size);
}
void* realloc(void* block, size_t size) {
  if (g_trap) std::abort();
  return __libc_realloc(block, size);
}
void free(void* block) {
  if (g_trap) std::abort();
  __libc_free(block);
}
}
#endif

namespace curg::internal {
namespace {

// In a child: walks `times` with system calls and allocations forbidden. Exits with the depth.
int DepthInStrictChild(int times) {
  const StackBounds bounds = BoundsOfThisThread();
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 250);
#ifdef CURG_TRAP_MALLOC
    g_trap = true;
#endif
    uintptr_t pcs[200];
    Traceback walk;
    for (int i = 0; i < times; ++i) walk = WalkStack(RegistersHere(), bounds, pcs);
    const bool rooted = walk.end == TracebackEnd::kRoot;
    syscall(SYS_exit, rooted ? static_cast<int>(walk.depth) : 251);  // of this thread: permitted
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

TEST(TracebackSignalSafety, NoSystemCallsNoAllocation) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's runtime makes system calls of its own";
#endif
  // First without tables: every frame is decoded on the spot.
  EXPECT_EQ(GetUnwindTableStats().modules, 0u);
  const int decoded = DepthInStrictChild(100);
  EXPECT_GT(decoded, 5);
  EXPECT_LT(decoded, 200);
  ASSERT_TRUE(RefreshUnwindTables().ok());
  EXPECT_EQ(DepthInStrictChild(100), decoded);
}

}  // namespace
}  // namespace curg::internal
