// SPDX-License-Identifier: Apache-2.0
//
// Runs those who push to the global queue, in blocks of two, and those who take from it through all
// schedules with few preemptions, and through random ones: each task comes out once, those of one
// pusher in their order, and a taker that goes to sleep as a worker does is woken.
//
// Tried by hand: it notices a push or a pop without the lock, a size that is stored before the
// tasks are there or after the lock was let go, and a taker that lies down without a look at the
// size.
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/global_queue.h"
#include "tests/runtime/model_atomic.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;
using model::ModelAtomic;

struct Item {
  Item* next = nullptr;
  int pusher = 0;
  int number = 0;
  int taken = 0;
};

// The queue of one schedule. It checks what is left when the last thread lets go of it.
class World {
 public:
  ~World() {
    while (Take(1) != 0) {
    }
    for (int pusher = 0; pusher < 2; ++pusher) {
      for (int i = 0; i < kItems; ++i) {
        Expect(items_[pusher][i].taken == (i < pushed_[pusher] ? 1 : 0), "each comes out once");
      }
    }
    Expect(queue_.size() == 0, "nothing is left");
  }

  void Push(int pusher, size_t count = 1) {
    std::array<Item*, kItems> all;
    for (size_t i = 0; i < count; ++i) {
      Item& item = items_[pusher][pushed_[pusher]++];
      item.pusher = pusher;
      item.number = pushed_[pusher];
      all[i] = &item;
    }
    queue_.PushAll(std::span(all).first(count));
    // As Scheduler::WakeOne.
    if (asleep_.load(std::memory_order_seq_cst)) awake_ = true;
  }

  size_t Take(size_t count) {
    std::array<Item*, kItems> out;
    const size_t taken = queue_.PopBatch(std::span(out).first(count));
    for (Item* item : std::span(out).first(taken)) {
      Expect(item->taken++ == 0, "nobody else has taken it");
    }
    return taken;
  }

  // The same, of who is the only one to take.
  void TakeInOrder(size_t count) {
    std::array<Item*, kItems> out;
    const size_t taken = queue_.PopBatch(std::span(out).first(count));
    for (Item* item : std::span(out).first(taken)) {
      Expect(item->taken++ == 0, "nobody else has taken it");
      Expect(item->number == last_[item->pusher] + 1, "a pusher's tasks keep their order");
      last_[item->pusher] = item->number;
    }
    taken_ += taken;
  }

  // Takes `count`, asleep while there are none.
  void TakeAll(size_t count) {
    while (taken_ < count) {
      TakeInOrder(2);
      if (taken_ >= count) break;
      asleep_.store(true, std::memory_order_seq_cst);
      if (queue_.size() == 0) model::Sleep(&awake_, /*may_time_out=*/false);
      asleep_.store(false, std::memory_order_seq_cst);
      awake_ = false;
    }
  }

 private:
  static constexpr int kItems = 8;

  GlobalQueue<Item, std::allocator, 2, ModelAtomic> queue_;
  std::array<std::array<Item, kItems>, 2> items_;
  std::array<int, 2> pushed_ = {};
  std::array<int, 2> last_ = {};
  size_t taken_ = 0;
  ModelAtomic<bool> asleep_{false};
  bool awake_ = false;
};

void Explore(const model::Options& options,
             const std::vector<std::function<void(World&)>>& bodies) {
  model::ExploreWorld<World>(options, bodies);
}

TEST(GlobalQueueModel, TwoTake) {
  Explore({.preemptions_max = 3}, {[](World& world) {
                                     world.Push(0);
                                     world.Push(0, 3);
                                   },
                                   [](World& world) {
                                     world.Take(2);
                                     world.Take(1);
                                   },
                                   [](World& world) { world.Take(3); }});
}

TEST(GlobalQueueModel, TwoPush) {
  Explore({.preemptions_max = 2}, {[](World& world) {
                                     world.Push(0, 2);
                                     world.Push(0);
                                   },
                                   [](World& world) {
                                     world.Push(1);
                                     world.Push(1, 3);
                                   },
                                   [](World& world) {
                                     world.TakeInOrder(2);
                                     world.TakeInOrder(3);
                                   }});
}

TEST(GlobalQueueModel, WhoSleepsIsWoken) {
  Explore({.preemptions_max = 2}, {[](World& world) { world.Push(0, 3); },
                                   [](World& world) {
                                     world.Push(1);
                                     world.Push(1);
                                   },
                                   [](World& world) { world.TakeAll(5); }});
}

}  // namespace
}  // namespace curg::internal
