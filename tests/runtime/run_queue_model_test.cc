// SPDX-License-Identifier: Apache-2.0
//
// Runs an owner and thieves on rings of four through all schedules with few preemptions, and
// through random ones with any number. Each task that goes in comes out exactly once.
//
// Tried by hand: it notices a claim that is a store instead of a compare-and-swap, a thief that
// reads elements after its claim instead of before, a Push that does not look at head_, and one
// that publishes tail_ before the element. (A thief that did not look whether head_ was old would
// only fail its claim.) Every operation takes effect at once here (sequential consistency): a
// release or acquire too few is for wakeup_stress_test.cc and the thread sanitizer to notice.
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/run_queue.h"
#include "tests/runtime/model_atomic.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;
using model::ModelAtomic;

struct Item {
  int taken = 0;
};
using Queue = RunQueue<Item, 4, ModelAtomic>;

// The queues and items of one schedule. It checks the count when the last thread lets go of it.
struct World {
  std::array<Queue, 3> queues;
  std::array<Item, 16> items;
  int pushed = 0;
  int overflowed = 0;

  ~World() {
    for (Queue& queue : queues) {
      while (Item* item = queue.Pop()) ++item->taken;
    }
    for (int i = 0; i < static_cast<int>(items.size()); ++i) {
      Expect(items[i].taken == (i < pushed ? 1 : 0), "each task comes out exactly once");
    }
  }

  void Push(int queue) {
    Item* const item = &items[pushed++];
    while (!queues[queue].Push(item)) {
      std::array<Item*, Queue::kPart> half;
      const size_t count = queues[queue].PopPart(half);
      for (size_t i = 0; i < count; ++i) Take(half[i]);
      overflowed += static_cast<int>(count);
    }
  }
  void Pop(int queue) { Take(queues[queue].Pop()); }
  void Steal(int thief, int victim) { Take(queues[thief].StealFrom(queues[victim])); }

  static void Take(Item* item) {
    if (item == nullptr) return;
    Expect(item->taken == 0, "nobody else has taken it");
    ++item->taken;
  }
};

void Explore(const model::Options& options,
             const std::vector<std::function<void(World&)>>& bodies) {
  model::ExploreWorld<World>(options, bodies);
}

TEST(RunQueueModel, Basic) {
  Explore({.preemptions_max = 3}, {[](World& world) {
                                     for (int i = 0; i < 2; ++i) {
                                       world.Push(0);
                                       world.Push(0);
                                       world.Pop(0);
                                     }
                                     world.Pop(0);
                                   },
                                   [](World& world) {
                                     world.Steal(1, 0);
                                     while (Item* item = world.queues[1].Pop()) World::Take(item);
                                     world.Steal(1, 0);
                                   }});
}

// More than fits: the owner's half goes elsewhere, while a thief is at it.
TEST(RunQueueModel, Overflow) {
  Explore({.preemptions_max = 3}, {[](World& world) {
                                     for (int i = 0; i < 7; ++i) world.Push(0);
                                     world.Pop(0);
                                     world.Pop(0);
                                   },
                                   [](World& world) {
                                     world.Steal(1, 0);
                                     while (Item* item = world.queues[1].Pop()) World::Take(item);
                                     world.Steal(1, 0);
                                   }});
}

TEST(RunQueueModel, TwoThieves) {
  Explore({.preemptions_max = 2},
          {[](World& world) {
             for (int i = 0; i < 4; ++i) world.Push(0);
             world.Pop(0);
             world.Push(0);
             world.Pop(0);
           },
           [](World& world) { world.Steal(1, 0); }, [](World& world) { world.Steal(2, 0); }});
}

// A thief is stolen from while it steals.
TEST(RunQueueModel, ChainedSteal) {
  Explore({.preemptions_max = 2}, {[](World& world) {
                                     for (int i = 0; i < 4; ++i) world.Push(0);
                                     world.Pop(0);
                                   },
                                   [](World& world) {
                                     world.Steal(1, 0);
                                     world.Pop(1);
                                   },
                                   [](World& world) {
                                     world.Steal(2, 1);
                                     world.Pop(2);
                                   }});
}

}  // namespace
}  // namespace curg::internal
