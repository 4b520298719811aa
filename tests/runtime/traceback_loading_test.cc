// SPDX-License-Identifier: Apache-2.0
//
// Walks the stack wherever a signal finds it while modules are loaded, relocated, set up and ended,
// by dlclose and at exit, and in a child of vfork: nothing faults, and walks end where they should.
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "gtest/gtest.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

constexpr const char* kPlugin = "tests/runtime/loading_plugin.so";

// Shared with children.
struct Tally {
  std::atomic<int> walks{0};
  std::atomic<int> in_plugin{0};  // with a frame of it
  std::atomic<int> unrooted_in_plugin{0};
  std::atomic<int> without_row{0};
  std::atomic<int> bad{0};
};
Tally* g_tally = nullptr;
StackBounds g_bounds;
std::atomic<uintptr_t> g_plugin{0};  // where a function of it is, while it is loaded
timer_t g_timer;
itimerspec g_pause;  // until the next walk; 0: none comes

void Walk(int, siginfo_t*, void* arg) {
  constexpr uintptr_t kNear = 4096;
  const int saved_errno = errno;
  uintptr_t pcs[200];
  const Registers registers = RegistersOf(*static_cast<ucontext_t*>(arg));
  const Traceback walk = WalkStack(registers, g_bounds, pcs);
  const bool rooted = walk.end == TracebackEnd::kRoot;
  bool in_plugin = false;
  for (size_t i = 0; i < walk.depth; ++i) {
    in_plugin = in_plugin || pcs[i] - g_plugin.load() + kNear < 2 * kNear;
  }
  ++g_tally->walks;
  g_tally->in_plugin += in_plugin ? 1 : 0;
  g_tally->unrooted_in_plugin += in_plugin && !rooted ? 1 : 0;
  g_tally->without_row += walk.end == TracebackEnd::kNoRow ? 1 : 0;
  g_tally->bad += walk.end == TracebackEnd::kBadFrame ? 1 : 0;
  // Each walk asks for the next one: a slow machine would get on no more if they came in step.
  if (g_pause.it_value.tv_nsec != 0) timer_settime(g_timer, 0, &g_pause, nullptr);
  errno = saved_errno;
}

// The calling thread, for good.
void InterruptEvery(int64_t ns) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGALRM;
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  g_pause = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = ns}};
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &g_timer), 0);
  ASSERT_EQ(timer_settime(g_timer, 0, &g_pause, nullptr), 0);
}

// In a child, which exits. Returns how it ended.
template <typename Work>
int InChild(Work work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    work();
    std::exit(0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

class TracebackLoadingTest : public testing::Test {
 protected:
  void SetUp() override {
    void* const shared =
        mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    g_tally = new (shared) Tally;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the sanitizer's runtime defers signals";
#endif
    g_bounds = BoundsOfThisThread();
    ASSERT_TRUE(RefreshUnwindTables().ok());
    static char memory[64 * 1024];
    const stack_t stack{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof(memory)};
    ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action {};
    action.sa_sigaction = &Walk;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  }
};

void* Load() {
  void* const plugin = dlopen(kPlugin, RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) std::abort();
  g_plugin = reinterpret_cast<uintptr_t>(dlsym(plugin, "curg_test_loading"));
  return plugin;
}

// While it is relocated the loader knows the module, but tells nobody: a walk there is its leaf.
TEST_F(TracebackLoadingTest, WhileAModuleComesAndGoes) {
  const int status = InChild([] {
    InterruptEvery(50'000);
    // It comes to the same place each time, so its functions are known from the first one on.
    while (g_tally->in_plugin < 300) dlclose(Load());
  });
  EXPECT_EQ(status, 0);
  std::printf("%d walks, %d in the plug-in, %d of these not to the root, %d without a row\n",
              g_tally->walks.load(), g_tally->in_plugin.load(), g_tally->unrooted_in_plugin.load(),
              g_tally->without_row.load());
  EXPECT_EQ(g_tally->bad, 0);
  EXPECT_GE(g_tally->in_plugin, 300);
  EXPECT_LT(g_tally->unrooted_in_plugin, g_tally->in_plugin);
}

TEST_F(TracebackLoadingTest, WhileTheProcessExits) {
  for (int i = 0; i < 1000 && g_tally->in_plugin < 10; ++i) {
    const int status = InChild([] {
      Load();
      if (!RefreshUnwindTables().ok()) std::abort();
      InterruptEvery(50'000);
    });
    ASSERT_EQ(status, 0);
  }
  std::printf("%d walks, %d in the plug-in\n", g_tally->walks.load(), g_tally->in_plugin.load());
  EXPECT_EQ(g_tally->bad, 0);
  EXPECT_EQ(g_tally->without_row, 0);
  EXPECT_EQ(g_tally->unrooted_in_plugin, 0);
  EXPECT_GE(g_tally->in_plugin, 10);
}

// Returns how it ended.
__attribute__((noinline)) int InterruptAChildOfVfork() {
  const pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGALRM);
    _exit(0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// The child is on its parent's stack, and on its alternate stack too.
TEST_F(TracebackLoadingTest, InAChildOfVfork) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(InterruptAChildOfVfork(), 0);
  EXPECT_EQ(g_tally->walks, 100);
  EXPECT_EQ(g_tally->bad, 0);
  EXPECT_EQ(g_tally->without_row, 0);
}

}  // namespace
}  // namespace curg::internal
