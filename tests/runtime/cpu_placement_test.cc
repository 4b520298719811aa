// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_placement.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace curg::internal {
namespace {

cpu_set_t AllowedNow(pid_t tid) {
  cpu_set_t allowed;
  EXPECT_EQ(sched_getaffinity(tid, sizeof(allowed), &allowed), 0);
  return allowed;
}

// A thread that stays until told to settle.
class Sleeper {
 public:
  explicit Sleeper(const cpu_set_t* restriction = nullptr)
      : thread_([this, restriction] {
          if (restriction != nullptr) sched_setaffinity(0, sizeof(*restriction), restriction);
          placement_.NoteSleep();
          tid_.store(gettid());
          tid_.notify_one();
          settle_.wait(false);
          placement_.Settle();
          settled_.store(true);
          settled_.notify_one();
          end_.wait(false);
        }) {
    tid_.wait(0);
  }
  ~Sleeper() {
    Settle();
    Signal(end_);
    thread_.join();
  }

  void Settle() {
    Signal(settle_);
    settled_.wait(false);
  }
  CpuPlacement& placement() { return placement_; }
  pid_t tid() const { return tid_.load(); }

 private:
  static void Signal(std::atomic<bool>& flag) {
    flag.store(true);
    flag.notify_one();
  }

  CpuPlacement placement_;
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> settle_{false};
  std::atomic<bool> settled_{false};
  std::atomic<bool> end_{false};
  std::thread thread_;
};

TEST(CpuPlacementTest, AvoidsOneCpuUntilItSettles) {
  const cpu_set_t before = AllowedNow(0);
  const int here = sched_getcpu();
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "there is one CPU";
  Sleeper sleeper;
  sleeper.placement().Avoid(here, sleeper.tid());
  const cpu_set_t avoided = AllowedNow(sleeper.tid());
  EXPECT_FALSE(CPU_ISSET(here, &avoided));
  EXPECT_EQ(CPU_COUNT(&avoided), CPU_COUNT(&before) - 1);
  sleeper.Settle();
  const cpu_set_t after = AllowedNow(sleeper.tid());
  EXPECT_TRUE(CPU_EQUAL(&after, &before));
}

TEST(CpuPlacementTest, TheOnlyCpuIsNotAvoided) {
  const int here = sched_getcpu();
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(here, &only);
  Sleeper sleeper(&only);
  sleeper.placement().Avoid(here, sleeper.tid());
  const cpu_set_t allowed = AllowedNow(sleeper.tid());
  EXPECT_TRUE(CPU_EQUAL(&allowed, &only));
}

// A program's own restriction outlives ours.
TEST(CpuPlacementTest, ARestrictedThreadIsRestrictedAgain) {
  cpu_set_t allowed = AllowedNow(0);
  if (CPU_COUNT(&allowed) < 2) GTEST_SKIP() << "there is one CPU";
  int first = 0;
  while (!CPU_ISSET(first, &allowed)) ++first;
  int second = first + 1;
  while (!CPU_ISSET(second, &allowed)) ++second;
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(first, &own);
  if (CPU_COUNT(&allowed) > 2) CPU_SET(second, &own);
  Sleeper sleeper(&own);
  sleeper.placement().Avoid(second, sleeper.tid());
  sleeper.Settle();
  const cpu_set_t after = AllowedNow(sleeper.tid());
  EXPECT_TRUE(CPU_EQUAL(&after, &own));
}

TEST(CpuPlacementTest, NobodyIsBehindAWakerThatNeedsNoHelp) {
  CpuPlacement placement;
  EXPECT_FALSE(placement.IsBehind(-1));
}

}  // namespace
}  // namespace curg::internal
