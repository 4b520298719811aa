// SPDX-License-Identifier: Apache-2.0
//
// OnSystemStack: another stack, the same task.
#include "runtime/system_stack.h"

#include <alloca.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/context.h"
#include "runtime/current.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"

namespace curg {
namespace {

// More than a task's stack holds.
__attribute__((noinline)) int UseStack(size_t bytes) {
  char* const memory = static_cast<char*>(alloca(bytes));
  std::memset(memory, 1, bytes);
  asm volatile("" : : "r"(memory) : "memory");
  return memory[bytes / 2];
}

TEST(SystemStack, IsLarge) {
  curg::Run({.workers = 2}, [] {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(OnSystemStack([] { return UseStack(size_t{2} << 20); }), 1);
      Yield();
    }
  });
  EXPECT_EQ(OnSystemStack([] { return 5; }), 5);  // on a plain thread
}

TEST(SystemStack, GivesValuesReferencesAndExceptions) {
  curg::Run({.workers = 1}, [] {
    const uint64_t id = CurrentTaskId();
    int place = 0;
    JoinHandle<void> later;
    EXPECT_EQ(&OnSystemStack([&]() -> int& { return place; }), &place);
    OnSystemStack([&] {
      EXPECT_EQ(CurrentTaskId(), id);
      EXPECT_EQ(OnSystemStack([] { return 2; }), 2);
      EXPECT_EQ(Blocking([] { return 3; }), 3);
      Yield();
      later = Go([&] { place = 4; });
    });
    later.Join();
    EXPECT_EQ(place, 4);
    try {
      throw std::logic_error("outer");
    } catch (const std::logic_error&) {
      EXPECT_THROW(OnSystemStack([] {
                     try {
                       throw std::runtime_error("caught there");
                     } catch (const std::runtime_error&) {
                     }
                     throw std::runtime_error("inner");
                   }),
                   std::runtime_error);
      EXPECT_THROW(throw, std::logic_error);
    }
  });
}

TEST(SystemStack, InsideBlockingItMayWait) {
  curg::Run({.workers = 1}, [] {
    Channel<int> numbers;
    auto sender = Go([&] { numbers.Send(9); });
    const int got =
        Blocking([&] { return OnSystemStack([&] { return numbers.Receive().value(); }); });
    EXPECT_EQ(got, 9);
    sender.Join();
  });
}

TEST(SystemStackDeathTest, WaitingNamesTheTask) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto wait = [] {
    curg::Run({.workers = 1}, [] {
      Go({.name = "waiter"}, [] {
        OnSystemStack([] { SleepFor(std::chrono::milliseconds(1)); });
      }).Join();
    });
  };
  EXPECT_DEATH(wait(), "\"waiter\" waits for something inside OnSystemStack");
}

internal::Where g_where;
size_t g_depth, g_task_depth;
internal::TracebackEnd g_end, g_task_end;

void Handle(int, siginfo_t*, void* context) {
  const int saved_errno = errno;
  const Registers registers = internal::RegistersOf(*static_cast<ucontext_t*>(context));
  g_where = internal::WhereAmI(registers);
  uintptr_t pcs[64];
  internal::Traceback walk = internal::WalkStack(registers, g_where.bounds, pcs);
  g_depth = walk.depth;
  g_end = walk.end;
  walk = internal::WalkStack(g_where.task_registers, g_where.task_bounds, pcs);
  g_task_depth = walk.depth;
  g_task_end = walk.end;
  errno = saved_errno;
}

TEST(SystemStack, ASignalSeesBothStacks) {
#ifdef CURG_TSAN
  GTEST_SKIP() << "the sanitizer delays handlers, and hands them a stale context";
#endif
  ASSERT_TRUE(internal::RefreshUnwindTables().ok());
  struct sigaction action = {}, previous;
  action.sa_sigaction = &Handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &previous), 0);
  curg::Run({.workers = 1}, [] {
    OnSystemStack([] { syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1); });
    EXPECT_EQ(g_where.stack, internal::Where::Stack::kCalled);
    EXPECT_EQ(g_where.task_id, CurrentTaskId());
    EXPECT_GE(g_depth, 3);
    EXPECT_EQ(g_end, internal::TracebackEnd::kRoot);
    EXPECT_GE(g_task_depth, 3);
    EXPECT_EQ(g_task_end, internal::TracebackEnd::kRoot);
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    EXPECT_EQ(g_where.stack, internal::Where::Stack::kTask);
  });
  sigaction(SIGUSR1, &previous, nullptr);
}

}  // namespace
}  // namespace curg
