// SPDX-License-Identifier: Apache-2.0
//
// A task's end against Join, Detach and done, from tasks and plain threads, at every moment: each
// value is taken or destroyed once, and each record is free afterwards.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/task.h"
#include "runtime/task_slab.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

#ifdef CURG_TSAN
constexpr int kRounds = 3'000;
#else
constexpr int kRounds = 30'000;
#endif

void SpinFor(unsigned pauses) {
  for (unsigned i = 0; i < pauses; ++i) __builtin_ia32_pause();
}

struct Counted {
  static inline std::atomic<int> alive{0};
  int value = 0;
  explicit Counted(int value) : value(value) { ++alive; }
  Counted(Counted&& other) noexcept : value(other.value) { ++alive; }
  // Parks, as a destructor may.
  ~Counted() {
    if (value % 7 == 0) Yield();
    --alive;
  }
};

int TasksNotFree() {
  int count = 0;
  TaskSlab::Instance().ForEach([&count](const Task& task) {
    if (task.runtime_task) return;
    if (task.state.load(std::memory_order_relaxed) != TaskState::kFree) ++count;
  });
  return count;
}

enum class How { kValue, kVoid, kThrows };

// One task, ended one way, met another way.
void Meet(std::minstd_rand& random, const auto& go) {
  const unsigned task_spin = random() % 60;
  const unsigned our_spin = random() % 60;
  const int number = static_cast<int>(random() % 1000);
  const int way = static_cast<int>(random() % 4);
  const auto meet = [&](auto handle, auto check) {
    SpinFor(our_spin);
    if (way == 0) return;  // dropped
    if (way == 1) return handle.Detach();
    if (way == 2) {
      while (!handle.done()) Yield();
    }
    check(handle);
  };
  switch (static_cast<How>(random() % 3)) {
    case How::kValue:
      return meet(go([=] {
                    SpinFor(task_spin);
                    return Counted(number);
                  }),
                  [&](auto& handle) { EXPECT_EQ(handle.Join().value, number); });
    case How::kVoid:
      return meet(go([=] { SpinFor(task_spin); }), [](auto& handle) { handle.Join(); });
    case How::kThrows:
      return meet(go([=] {
                    SpinFor(task_spin);
                    throw std::make_shared<Counted>(number);
                  }),
                  [&](auto& handle) {
                    try {
                      handle.Join();
                      ADD_FAILURE() << "no exception";
                    } catch (const std::shared_ptr<Counted>& caught) {
                      EXPECT_EQ(caught->value, number);
                    }
                  });
  }
}

TEST(JoinHandleStress, FromTasks) {
  Watchdog watchdog;
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  curg::Run({.workers = 4}, [&] {
    std::vector<JoinHandle<void>> meeters;
    for (unsigned t = 0; t < 3; ++t) {
      meeters.push_back(Go([&watchdog, t, seed] {
        std::minstd_rand random(seed + t);
        for (int i = 0; i < kRounds; ++i) {
          Meet(random, [](auto fn) { return Go(fn); });
          watchdog.Progress();
        }
      }));
    }
    for (auto& meeter : meeters) meeter.Join();
    while (Counted::alive != 0) Yield();
    while (TasksNotFree() != 1) Yield();  // us
  });
  EXPECT_EQ(Counted::alive, 0);
  EXPECT_EQ(TasksNotFree(), 0);
}

TEST(JoinHandleStress, FromPlainThreads) {
  Watchdog watchdog;
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  auto runtime = Runtime::Create({.workers = 2}).value();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(seed + t);
      for (int i = 0; i < kRounds / 3; ++i) {
        Meet(random, [&](auto fn) { return runtime->Go(fn); });
        watchdog.Progress();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (Counted::alive != 0) std::this_thread::yield();
  while (TasksNotFree() != 0) std::this_thread::yield();
}

}  // namespace
}  // namespace curg::internal
