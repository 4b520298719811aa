// SPDX-License-Identifier: Apache-2.0
//
// Runs one who waits, a task or a plain thread, and those who want to wake it through all schedules
// with few preemptions, and through random ones: it wakes, once, by who won the claim or at its
// deadline, and nobody touches it after its wait.
//
// Tried by hand: it notices a waiter that lies down though it was woken already, a Wake that does
// not wake one that sleeps, one that reads the waiter after its last operation, a wait that returns
// while its timer is being fired, a deadline that ends the wait without the claim, a claim that two
// win, and a plain thread that is not counted or counted twice.
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/claim_waiter.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;

constexpr int64_t kSoon = 1;  // strikes when the explorer says so

template <bool kIsTask>
class World {
 public:
  World() {
    if (kIsTask) park_.waits_as = &task_;
    g_park = &park_;
    waiter_.emplace();
  }
  ~World() {
    Expect(park_.plain_waiters == 0, "nobody counts as waiting any more");
    Expect(park_.timers.empty(), "no timer is left");
    g_park = nullptr;
  }

  // Waits, and is gone as soon as all `wakers` have tried to claim it, as whoever has it in a queue
  // takes it out before.
  void Wait(int64_t deadline, int wakers) {
    const bool woken = waiter_->Wait(WaitReason::kSleep, nullptr, deadline);
    Expect(woken == (delivered_ != 0), "it says whether somebody has woken it");
    Expect(woken || !waiter_->TryClaim(), "who gave up has claimed itself");
    over_ = true;
    park_.timer_or_end = true;
    while (tried_ < wakers) model::SpinStep();
    waiter_.reset();
  }

  void Wake() {
    const bool mine = waiter_->TryClaim();
    ++tried_;
    if (!mine) return;
    Expect(!over_, "a waiter that has been claimed stays until it is woken");
    Expect(++delivered_ == 1, "one wins");
    waiter_->Wake();
  }

  // The worker that fires what is due, if a timer is set.
  void FireTimer() {
    model::Sleep(&park_.timer_or_end, /*may_time_out=*/false);
    model::Step();
    if (park_.timers.empty()) return;
    Timer* const timer = park_.timers.back();
    park_.timers.pop_back();
    model::Step();
    timer->fire(timer);
  }

 private:
  ModelPark park_;
  Task task_;
  std::optional<ClaimWaiter> waiter_;
  int tried_ = 0;
  int delivered_ = 0;
  bool over_ = false;
};

// As a task, and as a plain thread.
template <typename Bodies>
void Explore(int preemptions_max, const Bodies& bodies) {
  const model::Options options = {.preemptions_max = preemptions_max};
  model::ExploreWorld<World<true>>(options, bodies.template operator()<World<true>>());
  model::ExploreWorld<World<false>>(options, bodies.template operator()<World<false>>());
}

template <typename W>
using Threads = std::vector<std::function<void(W&)>>;

TEST(ClaimWaiterModel, OneWakes) {
  Explore(6, []<typename W>() {
    return Threads<W>{[](W& world) { world.Wait(TimerQueue::kNever, 1); }, &W::Wake};
  });
}

TEST(ClaimWaiterModel, OneOfTwoWakes) {
  Explore(4, []<typename W>() {
    return Threads<W>{[](W& world) { world.Wait(TimerQueue::kNever, 2); }, &W::Wake, &W::Wake};
  });
}

TEST(ClaimWaiterModel, WokenNearItsDeadline) {
  Explore(4, []<typename W>() {
    return Threads<W>{[](W& world) { world.Wait(kSoon, 1); }, &W::Wake, &W::FireTimer};
  });
}

TEST(ClaimWaiterModel, TwoNearItsDeadline) {
  Explore(2, []<typename W>() {
    return Threads<W>{[](W& world) { world.Wait(kSoon, 2); }, &W::Wake, &W::Wake, &W::FireTimer};
  });
}

TEST(ClaimWaiterModel, TheDeadlineAlone) {
  Explore(6, []<typename W>() {
    return Threads<W>{[](W& world) { world.Wait(kSoon, 0); }, &W::FireTimer};
  });
}

}  // namespace
}  // namespace curg::internal
