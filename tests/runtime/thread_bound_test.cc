// SPDX-License-Identifier: Apache-2.0
#undef NDEBUG  // the check is of debug builds
#include "runtime/thread_bound.h"

#include <chrono>
#include <thread>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

thread_local int t_counter = 0;

[[gnu::noinline]] ThreadBound<int> Counter() {
  asm volatile("");
  return ThreadBound(t_counter);
}

TEST(ThreadBound, GoodUses) {
  const auto use = [] {
    auto counter = Counter();
    const int before = *counter;
    ++*counter;
    EXPECT_EQ(*counter.get(), before + 1);
    Go([] {}).Detach();  // does not suspend
    EXPECT_EQ(*counter, before + 1);
    SleepFor(1ms);
    ++*Counter();
  };
  curg::Run({.workers = 1}, use);
  curg::Run({.workers = 2}, use);
}

TEST(ThreadBound, PlainThreadKeepsIts) {
  auto counter = Counter();
  SleepFor(1ms);
  std::this_thread::yield();
  ++*counter;
}

constexpr char kMessage[] =
    "task [0-9]+ \"forgetful\": uses the address of a thread-local variable that it took before";

// With virtual time there is never a second worker, which could do what is to be waited for.
template <typename Suspend>
void KeepAcross(Suspend suspend) {
  curg::Run({.workers = 1, .virtual_time = true}, [&] {
    Go({.name = "forgetful"}, [&] {
      auto counter = Counter();
      ++*counter;
      suspend();
      ++*counter;  // the same thread, as there is one worker only
    }).Join();
  });
}

TEST(ThreadBoundDeathTest, KeptAcrossASuspension) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(KeepAcross([] { SleepFor(1ms); }), kMessage);
  EXPECT_DEATH(KeepAcross([] { Go([] {}).Join(); }), kMessage);
  EXPECT_DEATH(KeepAcross([] {
                 Go([] {}).Detach();
                 Yield();
               }),
               kMessage);
}

TEST(ThreadBoundDeathTest, GivenToAnotherThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto counter = Counter();
        std::thread([&] { ++*counter; }).join();
      },
      "plain thread [0-9]+: uses the address of a thread-local variable");
}

}  // namespace
}  // namespace curg
