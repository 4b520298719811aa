// SPDX-License-Identifier: Apache-2.0
//
// Runs an owner and thieves on a batch through all schedules with few preemptions, and through
// random ones. Each task that goes in comes out exactly once. What the fences are for happens in no
// such schedule, as every operation takes effect at once: run_batch_test.cc is for that.
#include <array>
#include <functional>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/run_batch.h"
#include "tests/runtime/model_atomic.h"
#include "tests/runtime/model_lock.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;

struct ModelPrimitives {
  template <typename T>
  class Atomic : public model::ModelAtomic<T> {
   public:
    using model::ModelAtomic<T>::ModelAtomic;
    void store(T value, std::memory_order order) {
      model::ModelAtomic<T>::store(value, order);
      model::Progress();  // a thief waits for one
    }
  };
  using Lock = model::ModelLock;
  static void LightFence() {}
  static void HeavyFence() {}
  static void Pause() { model::SpinStep(); }
};

struct Item {
  int taken = 0;
};
using Batch = RunBatch<Item, ModelPrimitives>;

// The batch and the items of one schedule. It checks the count when the last thread lets go of it.
struct World {
  Batch batch;
  std::array<Item, 8> items;
  size_t filled = 0;

  ~World() {
    while (Item* item = batch.Pop()) ++item->taken;
    if (Item* item = batch.ExchangeNext(nullptr)) ++item->taken;
    for (size_t i = 0; i < items.size(); ++i) {
      Expect(items[i].taken == (i < filled ? 1 : 0), "each task comes out exactly once");
    }
  }

  void Fill(size_t count) {
    std::array<Item*, Batch::kSize> tasks;
    for (size_t i = 0; i < count; ++i) tasks[i] = &items[filled++];
    batch.Fill(std::span(tasks).first(count));
  }
  // Makes one more go first. True: there was another, which is taken.
  bool PutNext() { return TakeAny(batch.ExchangeNext(&items[filled++])); }
  bool TakeNext() { return TakeAny(batch.ExchangeNext(nullptr)); }
  // True: there was one.
  bool Pop() { return TakeAny(batch.Pop()); }
  void Steal() {
    std::array<Item*, Batch::kMost> stolen;
    const size_t count = batch.Steal(stolen);
    for (size_t i = 0; i < count; ++i) Take(stolen[i]);
  }

  static bool TakeAny(Item* item) {
    if (item != nullptr) Take(item);
    return item != nullptr;
  }
  static void Take(Item* item) {
    Expect(item->taken == 0, "nobody else has taken it");
    ++item->taken;
  }
};

void Explore(const model::Options& options,
             const std::vector<std::function<void(World&)>>& bodies) {
  model::ExploreWorld<World>(options, bodies);
}

void FillAndEmpty(World& world) {
  for (size_t count : {2, 1}) {
    world.Fill(count);
    while (world.Pop()) {
    }
  }
}

TEST(RunBatchModel, OneThief) {
  Explore({.preemptions_max = 3}, {&FillAndEmpty, [](World& world) { world.Steal(); }});
}

TEST(RunBatchModel, AThiefThatComesTwice) {
  Explore({.preemptions_max = 2}, {&FillAndEmpty, [](World& world) {
                                     world.Steal();
                                     world.Steal();
                                   }});
}

TEST(RunBatchModel, TwoThieves) {
  Explore({.preemptions_max = 2}, {&FillAndEmpty, [](World& world) { world.Steal(); },
                                   [](World& world) { world.Steal(); }});
}

void PutNextAndTake(World& world) {
  world.PutNext();
  world.Fill(1);
  world.PutNext();
  while (world.TakeNext() || world.Pop()) {
  }
}

TEST(RunBatchModel, RunNext) {
  Explore({.preemptions_max = 3}, {&PutNextAndTake, [](World& world) { world.Steal(); }});
}

TEST(RunBatchModel, RunNextAndTwoThieves) {
  Explore({.preemptions_max = 2}, {&PutNextAndTake, [](World& world) { world.Steal(); },
                                   [](World& world) { world.Steal(); }});
}

}  // namespace
}  // namespace curg::internal
