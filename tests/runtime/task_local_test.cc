// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_local.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/task_group.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

TaskLocal<int> g_own;
TaskLocal<std::string> g_inherited(Inherit::kCopy);

// Counts those alive.
struct Counted {
  explicit Counted(std::atomic<int>* alive = nullptr) : alive(alive) { Change(1); }
  Counted(const Counted& other) : alive(other.alive) { Change(1); }
  Counted(Counted&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
  ~Counted() { Change(-1); }
  void Change(int by) {
    if (alive != nullptr) alive->fetch_add(by);
  }
  std::atomic<int>* alive;
};
TaskLocal<Counted> g_counted;
TaskLocal<Counted> g_counted_inherited(Inherit::kCopy);

TEST(TaskLocal, EveryTaskHasItsOwn) {
  curg::Run({.workers = 3}, [] {
    TaskGroup group;
    for (int i = 0; i < 50; ++i) {
      group.Go([i] {
        EXPECT_EQ(g_own.Find(), nullptr);
        int* const place = &g_own.Get();
        EXPECT_EQ(*place, 0);
        for (int k = 0; k < 20; ++k) {
          g_own.Get() += i;
          if (k % 5 == 0) SleepFor(50us);
          Yield();
          ASSERT_EQ(&g_own.Get(), place);  // also on another thread
        }
        EXPECT_EQ(*g_own, 20 * i);
      });
    }
    group.Wait();
  });
}

TEST(TaskLocal, SetResetFind) {
  const auto check = [] {
    g_inherited.Set("one");
    EXPECT_EQ(g_inherited.Set("two"), "two");
    EXPECT_EQ(g_inherited->size(), 3u);
    EXPECT_EQ(*g_inherited.Find(), "two");
    g_inherited.Reset();
    EXPECT_EQ(g_inherited.Find(), nullptr);
    g_inherited.Reset();
    EXPECT_EQ(*g_inherited, "");
    g_inherited.Reset();
  };
  check();
  curg::Run(check);
  std::thread(check).join();
}

TEST(TaskLocal, Inheritance) {
  curg::Run({.workers = 2}, [] {
    g_own.Set(7);
    g_inherited.Set("parent");
    Go([] {
      EXPECT_EQ(g_own.Find(), nullptr);
      EXPECT_EQ(*g_inherited, "parent");
      g_inherited.Set("child");
      Go([] { EXPECT_EQ(*g_inherited, "child"); }).Join();
    }).Join();
    EXPECT_EQ(*g_inherited, "parent");
    EXPECT_EQ(*g_own, 7);
  });
}

TEST(TaskLocal, PlainThreads) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  std::atomic<int> alive{0};
  std::thread([&] {
    g_counted.Set(Counted(&alive));
    g_inherited.Set("thread");
    runtime->Run([] {
      EXPECT_EQ(g_counted.Find(), nullptr);
      EXPECT_EQ(*g_inherited, "thread");
    });
    EXPECT_EQ(alive.load(), 1);
  }).join();
  EXPECT_EQ(alive.load(), 0);
}

TEST(TaskLocal, EndsWithTheTask) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> alive{0};
    for (int i = 0; i < 100; ++i) {
      Go([&] { g_counted.Set(Counted(&alive)); }).Join();
      ASSERT_EQ(alive.load(), 0);  // before the join returned
      auto thrower = Go([&] {
        g_counted.Set(Counted(&alive));
        throw std::runtime_error("x");
      });
      EXPECT_THROW(thrower.Join(), std::runtime_error);
      ASSERT_EQ(alive.load(), 0);
      TaskGroup group;
      group.Go([&] { g_counted.Set(Counted(&alive)); });
      group.Wait();
      ASSERT_EQ(alive.load(), 0);
    }
    // Records are used again: nothing of the former task's is left.
    Go([] { EXPECT_EQ(g_counted.Find(), nullptr); }).Join();
  });
}

// Destructors may park, use other variables, and set some that are destroyed in turn.
struct Elaborate {
  ~Elaborate() {
    if (alive == nullptr) return;
    SleepFor(50us);
    if (rounds > 0) again.Set(Elaborate(alive, rounds - 1));
    g_counted.Set(Counted(alive));
    EXPECT_NE(CurrentTaskId(), 0u);
    ++ended;
  }
  Elaborate(std::atomic<int>* alive, int rounds) : alive(alive), rounds(rounds) {}
  Elaborate(Elaborate&& other) noexcept
      : alive(std::exchange(other.alive, nullptr)), rounds(other.rounds) {}
  std::atomic<int>* alive;
  int rounds;
  static TaskLocal<Elaborate> again;
  static inline std::atomic<int> ended{0};
};
TaskLocal<Elaborate> Elaborate::again;

TEST(TaskLocal, DestructorsMayDoAnything) {
  curg::Run({.workers = 2}, [] {
    std::atomic<int> alive{0};
    for (int i = 0; i < 20; ++i) {
      Go([&] { Elaborate::again.Set(Elaborate(&alive, 3)); }).Join();
      ASSERT_EQ(alive.load(), 0);
    }
    // A result that is dropped late: its destructor makes variables when the task has ended
    // already.
    constexpr int kTasks = 200;
    Elaborate::ended = 0;
    for (int i = 0; i < kTasks; ++i) {
      auto task = Go([&, i] {
        if (i % 3 == 0) Yield();
        return std::make_unique<Elaborate>(&alive, 1);
      });
      if (i % 2 == 0) Yield();
      task.Detach();
    }
    while (Elaborate::ended < 2 * kTasks || alive.load() != 0) {
      // Results of tasks that had ended were destroyed here, and have made variables of ours.
      Elaborate::again.Reset();
      g_counted.Reset();
      SleepFor(1ms);
    }
  });
}

struct Uncopyable {
  Uncopyable() = default;
  Uncopyable(const Uncopyable&) { throw std::runtime_error("does not copy"); }
  Uncopyable(Uncopyable&&) noexcept {}
};
TaskLocal<Uncopyable> g_uncopyable(Inherit::kCopy);

TEST(TaskLocal, CopyThatThrowsIsThrownByGo) {
  curg::Run({.workers = 1}, [] {
    std::atomic<int> alive{0};
    g_counted_inherited.Set(Counted(&alive));
    g_uncopyable.Set(Uncopyable());
    EXPECT_THROW(Go([] {}).Join(), std::runtime_error);
    EXPECT_EQ(alive.load(), 1);
    g_uncopyable.Reset();
    Go([&] { EXPECT_EQ(alive.load(), 2); }).Join();
    EXPECT_EQ(alive.load(), 1);
    g_counted_inherited.Reset();
    EXPECT_EQ(alive.load(), 0);
  });
}

TEST(TaskLocal, MoveOnlyAndManyVariables) {
  curg::Run([] {
    TaskLocal<std::unique_ptr<int>> unique;
    unique.Set(std::make_unique<int>(4));
    EXPECT_EQ(**unique, 4);
    std::vector<std::unique_ptr<TaskLocal<int>>> many;
    for (int i = 0; i < 100; ++i) {
      many.push_back(std::make_unique<TaskLocal<int>>());
      many.back()->Set(i);
    }
    for (int i = 0; i < 100; ++i) EXPECT_EQ(many[i]->Get(), i);
  });
}

}  // namespace
}  // namespace curg
