// SPDX-License-Identifier: Apache-2.0
#include "runtime/go.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace curg {
namespace {

using std::chrono::milliseconds;

TEST(Go, RunReturnsTheValue) {
  EXPECT_EQ(curg::Run([] { return 42; }), 42);
}

TEST(Go, JoinReturnsValuesOfAllKinds) {
  curg::Run([] {
    EXPECT_EQ(Go([] { return 7; }).Join(), 7);
    EXPECT_EQ(Go([] { return std::string(1000, 'x'); }).Join().size(), 1000u);
    EXPECT_EQ(*Go([] { return std::make_unique<int>(3); }).Join(), 3);
    static int place = 0;
    EXPECT_EQ(&Go([]() -> int& { return place; }).Join(), &place);
    std::array<char, 4096> big{};
    big[4095] = 'z';
    EXPECT_EQ(Go([big] { return big; }).Join()[4095], 'z');
    Go([] {}).Join();
  });
}

TEST(Go, JoinRethrows) {
  curg::Run([] {
    JoinHandle<int> handle = Go([]() -> int { throw std::runtime_error("broken"); });
    try {
      handle.Join();
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "broken");
    }
    EXPECT_FALSE(handle.joinable());
  });
}

TEST(Go, RunRethrows) {
  EXPECT_THROW(curg::Run([] { throw std::logic_error("x"); }), std::logic_error);
}

TEST(Go, MoveOnlyCallable) {
  curg::Run([] {
    auto value = std::make_unique<int>(5);
    EXPECT_EQ(Go([value = std::move(value)] { return *value; }).Join(), 5);
  });
}

// A value whose count of instances is watched.
struct Counted {
  static inline std::atomic<int> alive{0};
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  Counted(Counted&&) noexcept { ++alive; }
  ~Counted() { --alive; }
};

TEST(Go, DetachedTasksDestroyTheirValues) {
  curg::Run([] {
    for (int i = 0; i < 1000; ++i) {
      auto handle = Go([] { return Counted(); });
      if (i % 3 == 0) Yield();
      if (i % 3 == 1) SleepFor(std::chrono::microseconds(i % 50));
      // dropped
    }
    while (Counted::alive != 0) SleepFor(milliseconds(1));
  });
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Go, DetachedExceptionIsDestroyed) {
  curg::Run([] {
    {
      auto dropped = Go([] { throw Counted(); });
    }
    SleepFor(milliseconds(1));
    while (Counted::alive != 0) SleepFor(milliseconds(1));
  });
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Go, ManyTasks) {
  for (int workers : {1, 2, 4}) {
    std::atomic<int> ran{0};
    curg::Run({.workers = workers}, [&] {
      std::vector<JoinHandle<int>> handles;
      for (int i = 0; i < 3000; ++i) {
        handles.push_back(Go([&ran, i] {
          Yield();
          ++ran;
          return i;
        }));
      }
      for (int i = 0; i < 3000; ++i) EXPECT_EQ(handles[i].Join(), i);
    });
    EXPECT_EQ(ran, 3000);
  }
}

TEST(Go, TreeOfTasks) {
  struct Tree {
    static int Leaves(int depth) {
      if (depth == 0) return 1;
      JoinHandle<int> left = Go([=] { return Leaves(depth - 1); });
      JoinHandle<int> right = Go([=] { return Leaves(depth - 1); });
      return left.Join() + right.Join();
    }
  };
  EXPECT_EQ(curg::Run([] { return Tree::Leaves(10); }), 1024);
}

TEST(Go, SleepTakesAtLeastSoLong) {
  curg::Run([] {
    const auto start = std::chrono::steady_clock::now();
    SleepFor(milliseconds(20));
    EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(20));
    SleepUntil(std::chrono::steady_clock::now() + milliseconds(5));
    SleepFor(milliseconds(0));
    SleepFor(milliseconds(-5));
  });
}

// All of them begin before the first one wakes up. (Surplus workers would come one in 10 ms.)
TEST(Go, SleepersDoNotHoldTheWorker) {
  constexpr int kSleepers = 100;
  int begun_at_first_end = 0;
  // Longer, if the machine was so slow that the first one woke up early.
  for (const int ms : {50, 100, 200}) {
    std::atomic<int> begun{0};
    std::atomic<int> at_first_end{0};
    curg::Run({.workers = 1}, [&] {
      std::vector<JoinHandle<void>> sleepers;
      for (int i = 0; i < kSleepers; ++i) {
        sleepers.push_back(Go([&, ms] {
          ++begun;
          SleepFor(milliseconds(ms));
          int none = 0;
          at_first_end.compare_exchange_strong(none, begun);
        }));
      }
      for (auto& sleeper : sleepers) sleeper.Join();
    });
    begun_at_first_end = at_first_end;
    if (begun_at_first_end == kSleepers) break;
  }
  EXPECT_EQ(begun_at_first_end, kSleepers);
}

// More than a ring holds are due at once, behind as many that are always runnable.
TEST(Go, SleepersWakeUpBesideTasksThatYield) {
  for (const int workers : {1, 2}) {
    constexpr int kSleepers = 2000;
    std::atomic<int> asleep{kSleepers};
    curg::Run({.workers = workers}, [&] {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < kSleepers; ++i) {
        tasks.push_back(Go([&] {
          SleepFor(milliseconds(3));
          --asleep;
        }));
      }
      for (int i = 0; i < 1300; ++i) {
        tasks.push_back(Go([&] {
          while (asleep > 0) Yield();
        }));
      }
      for (auto& task : tasks) task.Join();
    });
    EXPECT_EQ(asleep, 0);
  }
}

TEST(Go, IdsAndNames) {
  EXPECT_EQ(CurrentTaskId(), 0u);
  EXPECT_EQ(CurrentTaskName(), "");
  curg::Run([] {
    EXPECT_EQ(CurrentTaskName(), "main");
    JoinHandle<uint64_t> handle = Go({.name = "a task with rather a long name"}, [] {
      EXPECT_EQ(CurrentTaskName(), "a task with rather a long name");
      return CurrentTaskId();
    });
    const uint64_t id = handle.id();
    EXPECT_NE(id, CurrentTaskId());
    EXPECT_EQ(handle.Join(), id);
    EXPECT_EQ(Go([] { return std::string(CurrentTaskName()); }).Join(), "");
  });
}

TEST(Go, OutsideARuntimeIsAnError) {
  auto handle = TryGo({}, [] {});
  EXPECT_EQ(handle.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Go, PlainThreadsStartAndJoin) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  std::vector<std::thread> threads;
  std::atomic<int> sum{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) sum += runtime->Go([i] { return i; }).Join();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 4 * 500 * 499 / 2);
}

TEST(Go, RuntimesSideBySide) {
  auto one = Runtime::Create({.workers = 1}).value();
  auto two = Runtime::Create({.workers = 2}).value();
  EXPECT_EQ(one->workers(), 1);
  EXPECT_EQ(two->workers(), 2);
  Runtime& inner = *two;
  EXPECT_EQ(one->Run([&] { return inner.Go([] { return 9; }).Join() + 1; }), 10);
}

TEST(Go, AbandonedTasksDoNotHoldTheEnd) {
  for (int i = 0; i < 20; ++i) {
    curg::Run([] {
      for (int j = 0; j < 50; ++j) {
        auto handle = Go([] { SleepFor(std::chrono::hours(1)); });
        handle.Detach();
      }
      SleepFor(milliseconds(1));
    });
  }
}

TEST(Go, StartsAndStops) {
  for (int i = 0; i < 200; ++i) EXPECT_EQ(curg::Run({.workers = 3}, [i] { return i; }), i);
}

TEST(Go, OptionsOutOfRange) {
  for (int workers : {0, -1, 100000}) {
    const absl::Status status = Runtime::Create({.workers = workers}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("workers"), absl::string_view::npos) << status;
  }
  const absl::Status small = Runtime::Create({.stack_size = 4096}).status();
  EXPECT_EQ(small.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(small.message().find("stack_size of 4096"), absl::string_view::npos) << small;
  EXPECT_THROW(curg::Run({.workers = 0}, [] {}), absl::BadStatusOrAccess);
  curg::Run([] {
    EXPECT_EQ(TryGo({.stack_size = 100}, [] {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  });
}

TEST(Go, StackSizeIsAsAsked) {
  struct Deep {
    static int Recurse(int depth) {
      volatile char frame[1024];
      frame[0] = static_cast<char>(depth);
      return depth == 0 ? frame[0] : Recurse(depth - 1) + frame[0] - frame[0];
    }
  };
  curg::Run([] {
    EXPECT_EQ(Go({.stack_size = 8 << 20}, [] { return Deep::Recurse(4000); }).Join(), 0);
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(Go({.stack_size = 32 << 10}, [] { return Deep::Recurse(8); }).Join(), 0);
    }
  });
}

TEST(Go, RunningOutOfStacksIsAnErrorToTheSpawner) {
  curg::Run({.workers = 2, .stacks_max = 10}, [] {
    std::vector<JoinHandle<void>> handles;
    std::atomic<bool> go_on{false};
    for (int i = 0; i < 9; ++i) {
      handles.push_back(Go([&] {
        while (!go_on) SleepFor(milliseconds(1));
      }));
    }
    const auto refused = TryGo({}, [] {});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_NE(refused.status().message().find("10 task stacks"), absl::string_view::npos)
        << refused.status();
    go_on = true;
    for (auto& handle : handles) handle.Join();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(Go([i] { return i; }).Join(), i);
  });
}

TEST(Go, ExceptionsInFlightMoveWithTheTask) {
  curg::Run({.workers = 4}, [] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 100; ++i) {
      handles.push_back(Go([i] {
        for (int round = 0; round < 20; ++round) {
          try {
            throw i;
          } catch (int caught) {
            Yield();
            SleepFor(std::chrono::microseconds(100));
            try {
              throw std::to_string(caught);
            } catch (const std::string&) {
              Yield();
            }
            EXPECT_EQ(std::uncaught_exceptions(), 0);
            try {
              std::rethrow_exception(std::current_exception());
            } catch (int again) {
              EXPECT_EQ(again, i);
            }
          }
          EXPECT_EQ(std::current_exception(), nullptr);
        }
      }));
    }
    for (auto& handle : handles) handle.Join();
  });
}

// Parks while an exception unwinds its stack: what is under way is the task's, whichever thread it
// goes on on. The thread's number is the kernel's, as compilers take it that a function stays on
// its thread.
class ParksInItsEnd {
 public:
  explicit ParksInItsEnd(std::atomic<int>& moved) : moved_(moved) {}
  ~ParksInItsEnd() {
    const pid_t before = gettid();
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    EXPECT_EQ(std::current_exception(), nullptr);
    SleepFor(std::chrono::microseconds(100));
    try {
      throw std::string("inner");
    } catch (const std::string& inner) {
      Yield();
      EXPECT_EQ(inner, "inner");
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      EXPECT_NE(std::current_exception(), nullptr);
    }
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    EXPECT_EQ(std::current_exception(), nullptr);
    if (gettid() != before) ++moved_;
  }

 private:
  std::atomic<int>& moved_;
};

TEST(Go, UnwindingGoesOnElsewhere) {
  curg::Run({.workers = 4}, [] {
    std::atomic<int> moved{0};
    do {
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < 100; ++i) {
        handles.push_back(Go([i, &moved] {
          EXPECT_EQ(std::uncaught_exceptions(), 0);
          try {
            ParksInItsEnd outer(moved);
            throw i;
          } catch (int caught) {
            EXPECT_EQ(caught, i);
            EXPECT_EQ(std::uncaught_exceptions(), 0);
          }
        }));
      }
      for (auto& handle : handles) handle.Join();
    } while (moved == 0);
  });
}

// The rounding mode is a task's own: parks keep it, and a new task has the default one, whoever ran
// on its worker before.
TEST(Go, FloatingPointEnvironment) {
  curg::Run({.workers = 1}, [] {
    const auto round_up = [] {
      std::fesetround(FE_UPWARD);
      Yield();
      EXPECT_EQ(std::fegetround(), FE_UPWARD);
    };
    const auto expect_default = [] { EXPECT_EQ(std::fegetround(), FE_TONEAREST); };
    for (int round = 0; round < 2;
         ++round) {  // in the second one a task begins straight from another
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < 10; ++i) {
        handles.push_back(Go(round_up));
        handles.push_back(Go(expect_default));
      }
      for (auto& handle : handles) handle.Join();
    }
    expect_default();
  });
}

TEST(Go, WorkSpreadsOverWorkers) {
  curg::Run({.workers = 4}, [] {
    // Four tasks that each wait until all four run: they need four workers at once.
    std::atomic<int> running{0};
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 3; ++i) {
      handles.push_back(Go([&] {
        ++running;
        while (running < 4) std::this_thread::yield();
      }));
    }
    ++running;
    while (running < 4) std::this_thread::yield();
    for (auto& handle : handles) handle.Join();
  });
}

}  // namespace
}  // namespace curg
