// SPDX-License-Identifier: Apache-2.0
//
// Who is running here, asked by a real signal handler.
#include "runtime/current.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/current_tag.h"
#include "runtime/go.h"
#include "runtime/park.h"
#include "runtime/traceback.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

Where g_where;
uintptr_t g_sp;
std::atomic<int> g_signals{0};

void Handle(int, siginfo_t*, void* context) {
  const int saved_errno = errno;
  const Registers registers = RegistersOf(*static_cast<ucontext_t*>(context));
  g_where = WhereAmI(registers);
  g_sp = registers.sp;
  g_signals.fetch_add(1);
  errno = saved_errno;
}

class CurrentTest : public testing::Test {
 protected:
  CurrentTest() {
    struct sigaction action = {};
    action.sa_sigaction = &Handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    EXPECT_EQ(sigaction(SIGUSR1, &action, &previous_), 0);
  }
  void SetUp() override {
#ifdef CURG_TSAN
    GTEST_SKIP() << "the sanitizer delays handlers, and hands them a stale context";
#endif
  }
  ~CurrentTest() override { sigaction(SIGUSR1, &previous_, nullptr); }

  // What the handler sees in the caller.
  static Where Ask() {
    const int before = g_signals.load();
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    while (g_signals.load() == before) {  // a sanitizer may deliver it later
    }
    return g_where;
  }

  struct sigaction previous_;
};

TEST_F(CurrentTest, PlainThread) {
  const Where where = Ask();
  EXPECT_EQ(where.stack, Where::Stack::kOther);  // its bounds are not known
  EXPECT_FALSE(where.known_thread);
  EXPECT_EQ(where.task_id, 0u);
  EXPECT_EQ(where.tag, nullptr);
}

TEST_F(CurrentTest, Task) {
  curg::Run([] {
    const Where where = Ask();
    EXPECT_EQ(where.stack, Where::Stack::kTask);
    EXPECT_TRUE(where.known_thread);
    EXPECT_FALSE(where.runtime_task);
    EXPECT_EQ(where.task_id, CurrentTaskId());
    EXPECT_TRUE(where.bounds.Contains(g_sp));
    EXPECT_TRUE(where.bounds.Contains(reinterpret_cast<uintptr_t>(&where)));
    EXPECT_EQ(where.bounds.high - where.bounds.low, kDefaultStackSize);
  });
}

// A task's commit function runs on the worker's own stack, with no current task.
TEST_F(CurrentTest, SchedulerStack) {
  curg::Run([] {
    Where where;
    uintptr_t here = 0;
    struct Pair {
      Where* where;
      uintptr_t* here;
    } pair{&where, &here};
    Park(
        WaitReason::kNone, nullptr,
        [](void* arg) {
          auto* out = static_cast<Pair*>(arg);
          *out->where = Ask();
          *out->here = g_sp;
          return false;
        },
        &pair);
    EXPECT_EQ(where.stack, Where::Stack::kSystem);
    EXPECT_TRUE(where.known_thread);
    EXPECT_EQ(where.task_id, 0u);
    EXPECT_TRUE(where.bounds.Contains(here));
    EXPECT_FALSE(where.bounds.Contains(reinterpret_cast<uintptr_t>(&where)));
  });
}

// Code on a stack that nobody told the runtime of: labels of the current task all the same.
TEST_F(CurrentTest, HandlerOnTheAlternateStack) {
  static Where nested;
  struct sigaction action = {};
  action.sa_handler = [](int) { nested = Ask(); };
  action.sa_flags = SA_ONSTACK;
  struct sigaction previous;
  ASSERT_EQ(sigaction(SIGUSR2, &action, &previous), 0);
  curg::Run([] {
    nested = {};
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2);
    while (nested.task_id == 0) Yield();
    EXPECT_EQ(nested.stack, Where::Stack::kOther);
    EXPECT_EQ(nested.task_id, CurrentTaskId());
    EXPECT_TRUE(nested.bounds.empty());
  });
  sigaction(SIGUSR2, &previous, nullptr);
}

TEST_F(CurrentTest, TagsOfTaskAndThread) {
  std::atomic<int> alive{0};
  const TagRef one = TagRef::Adopt(new CountedTag(alive));
  const TagRef two = TagRef::Adopt(new CountedTag(alive));
  const TagRef before = ExchangeCurrentTag(one);
  EXPECT_FALSE(before);
  EXPECT_EQ(Ask().tag, one.get());
  {
    auto runtime = Runtime::Create({.workers = 1}).value();
    runtime->Run([&] {
      EXPECT_EQ(Ask().tag, one.get());  // inherited from the plain thread
      ExchangeCurrentTag(two);
      EXPECT_EQ(Ask().tag, two.get());
      Go([&] { EXPECT_EQ(Ask().tag, two.get()); }).Join();
      Go({.tag = TagRef()}, [] { EXPECT_EQ(Ask().tag, nullptr); }).Join();
      Go({.tag = one}, [&] { EXPECT_EQ(Ask().tag, one.get()); }).Join();
    });
  }
  EXPECT_EQ(Ask().tag, one.get());
  ExchangeCurrentTag(TagRef());
  EXPECT_EQ(Ask().tag, nullptr);
  EXPECT_EQ(alive, 2);  // ours, and nobody else's
}

TEST_F(CurrentTest, TagsEndWithTasksAndRuntime) {
  std::atomic<int> alive{0};
  curg::Run({.workers = 3}, [&] {
    for (int i = 0; i < 200; ++i) {
      Go({.tag = TagRef::Adopt(new CountedTag(alive))}, [] {
        std::vector<JoinHandle<void>> children;
        for (int j = 0; j < 5; ++j) children.push_back(Go([] { Yield(); }));
        for (auto& child : children) child.Join();
      }).Join();
    }
  });
  EXPECT_EQ(alive, 0);
}

TEST_F(CurrentTest, PlainThreadsTagEndsWithIt) {
  std::atomic<int> alive{0};
  std::thread([&] {
    ExchangeCurrentTag(TagRef::Adopt(new CountedTag(alive)));
    EXPECT_EQ(alive, 1);
  }).join();
  EXPECT_EQ(alive, 0);
}

// Signals at every instruction of switching: the answer always fits together.
TEST_F(CurrentTest, NeverAMixture) {
  static std::atomic<int> wrong;
  static std::atomic<int> handled;
  static std::atomic<int> in_task;
  wrong = 0;
  handled = 0;
  in_task = 0;
  struct sigaction action = {};
  action.sa_sigaction = [](int, siginfo_t*, void* context) {
    const Registers registers = RegistersOf(*static_cast<ucontext_t*>(context));
    const Where where = WhereAmI(registers);
    ++handled;
    const bool on_stack = where.bounds.Contains(registers.sp);
    switch (where.stack) {
      case Where::Stack::kTask:
        ++in_task;
        if (!on_stack || where.task_id == 0) ++wrong;
        break;
      case Where::Stack::kSystem:
        if (!on_stack || where.task_id != 0) ++wrong;
        break;
      case Where::Stack::kSwitch:
        if (where.task_id == 0) ++wrong;
        break;
      default:
        ++wrong;
    }
  };
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  struct sigaction previous;
  ASSERT_EQ(sigaction(SIGUSR2, &action, &previous), 0);
  // Nobody else asks by signal: the stack of another handler is none we know.
  curg::Run({.workers = 1, .long_slice = std::chrono::nanoseconds(0)}, [] {
    const pthread_t worker = pthread_self();
    std::atomic<bool> done{false};
    // Where the worker gets no CPU, many signals are one.
    std::thread shooter([&] {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
      while (in_task == 0 || (handled < 3000 && std::chrono::steady_clock::now() < end)) {
        pthread_kill(worker, SIGUSR2);
        std::this_thread::yield();
      }
      done = true;
    });
    auto other = Go([&] {
      while (!done) Yield();
    });
    while (!done) Yield();
    other.Join();
    shooter.join();
  });
  sigaction(SIGUSR2, &previous, nullptr);
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(in_task, 0);
}

}  // namespace
}  // namespace curg::internal
