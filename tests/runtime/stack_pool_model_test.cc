// SPDX-License-Identifier: Apache-2.0
//
// Runs spawners and sysmon's trim on a pool of three stacks through all schedules with few
// preemptions, and through random ones: who has a credit finds a slot, no slot has two holders, and
// what a holder wrote stays there until it gives the slot back.
//
// Tried by hand: it notices a trim that takes warm slots from the end that TakeSlot takes from, one
// that forgets what it has trimmed when it lets others in, a slab mapped anew with a slot in use,
// and a slot returned without its credit.
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/stack_pool.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;

struct World {
  static constexpr size_t kSlots = 3;

  StackPool pool{size_t{16} << 10, kSlots};
  int users = 0;

  ~World() {
    const StackPoolStats stats = pool.stats();
    Expect(stats.in_pool == stats.slots, "all slots are back");
    size_t taken = 0;
    if (stats.slots > 0) {
      Expect(pool.TakeCredits(kSlots, &taken).ok() && taken == kSlots, "and all credits");
    }
  }

  // A task's life: its spawn, its first run, its end. False: there was no stack.
  bool RunTask() {
    size_t taken = 0;
    if (!pool.TakeCredits(1, &taken).ok()) return false;
    Expect(taken == 1, "one was asked for");
    const StackSlot slot = pool.TakeSlot();
    char* const top = reinterpret_cast<char*>(slot.usable().high) - kMark;
    const char mark = static_cast<char>(++users);
    std::memset(top, mark, kMark);
    model::Step();
    for (size_t i = 0; i < kMark; ++i) Expect(top[i] == mark, "nobody else writes to it");
    pool.ReturnSlot(slot);
    return true;
  }

 private:
  static constexpr size_t kMark = 16;
};

void Explore(const model::Options& options,
             const std::vector<std::function<void(World&)>>& bodies) {
  model::ExploreWorld<World>(options, bodies);
}

TEST(StackPoolModel, TasksAndTrim) {
  Explore({.preemptions_max = 2}, {[](World& world) {
                                     world.RunTask();
                                     world.RunTask();
                                   },
                                   [](World& world) { world.RunTask(); },
                                   [](World& world) {
                                     world.pool.TrimUnused(0);
                                     world.pool.TrimUnused(0);
                                   }});
}

// As many at a time as there are stacks: none is refused one.
TEST(StackPoolModel, TheLimitIsExact) {
  const auto run = [](World& world) { Expect(world.RunTask(), "there is a stack for each"); };
  Explore({.preemptions_max = 2}, {run, run, run});
}

// A spawn that is taken back, beside one that is not.
TEST(StackPoolModel, CreditsComeBack) {
  Explore({.preemptions_max = 4}, {[](World& world) {
                                     size_t taken = 0;
                                     Expect(world.pool.TakeCredits(2, &taken).ok(), "not all gone");
                                     world.pool.ReturnCredits(taken);
                                     world.RunTask();
                                   },
                                   [](World& world) {
                                     world.RunTask();
                                     world.pool.TrimUnused(0);
                                   }});
}

}  // namespace
}  // namespace curg::internal
