// SPDX-License-Identifier: Apache-2.0
//
// Runs a task's worker and its handle through all schedules with few preemptions, and through
// random ones: whoever joins is woken, the value is taken or dropped once, the record freed once.
//
// Tried by hand: it notices a Finish that loads and stores instead of exchanging, a Begin that does
// the same, a Finish that forgets the joiner that Begin took, a Detach that does not wait for
// kEnding, and a GiveUp that stores.
#include <functional>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/task_end.h"
#include "tests/runtime/model_atomic.h"
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
    T exchange(T value, std::memory_order order) {
      model::Progress();  // a handle waits for one
      return model::ModelAtomic<T>::exchange(value, order);
    }
  };
  static void Pause() { model::SpinStep(); }
};
using End = TaskEnd<ModelPrimitives>;

// A task that returns a value or none, its worker, and its handle: as worker.cc, scheduler_tasks.cc
// and join_handle.cc have it.
class World {
 public:
  explicit World(bool has_value) : has_value_(has_value) {}
  ~World() {
    Expect(freed_ == 1, "the record is freed once");
    Expect(!has_value_, "the value is taken or dropped");
  }

  void RunToEnd() {
    uintptr_t joiner = 0;
    while (has_value_ && !end_.Begin(&joiner)) DropValue();
    const uintptr_t left = end_.Finish(joiner);
    if (left == End::kDetached) {
      Free();
    } else if (left == kJoiner) {
      woken_ = true;
    } else if (left == kLimitedJoiner) {
      WakeLimited();
    }
  }

  void Join() {
    if (!end_.HasEnded() && end_.Join(kJoiner)) model::Sleep(&woken_, /*may_time_out=*/false);
    Expect(end_.HasEnded(), "a join returns after the end");
    TakeAndFree();
  }

  // False: gave up.
  bool JoinWithin() {
    if (end_.Join(kLimitedJoiner) && !AwaitWithin()) return false;
    Expect(end_.HasEnded(), "a join that did not give up returns after the end");
    TakeAndFree();
    return true;
  }

  void Detach() {
    if (!end_.Detach()) TakeAndFree();
  }

 private:
  static constexpr uintptr_t kJoiner = 8;
  static constexpr uintptr_t kLimitedJoiner = 16;

  bool AwaitWithin() {
    if (model::Sleep(&limited_woken_, /*may_time_out=*/true)) return true;
    if (claimed_.exchange(true, std::memory_order_relaxed)) {
      model::Sleep(&limited_woken_, /*may_time_out=*/false);
      return true;
    }
    if (end_.GiveUp(kLimitedJoiner)) {
      claimed_.store(false, std::memory_order_relaxed);  // for the next one
      return false;
    }
    model::Sleep(&released_, /*may_time_out=*/false);
    return true;
  }

  void WakeLimited() {
    (claimed_.exchange(true, std::memory_order_relaxed) ? released_ : limited_woken_) = true;
  }

  void DropValue() {
    Expect(freed_ == 0 && has_value_, "there is a value to drop");
    has_value_ = false;
  }
  void Free() { Expect(freed_++ == 0, "nobody else has freed the record"); }
  void TakeAndFree() {
    has_value_ = false;
    Free();
  }

  End end_;
  model::ModelAtomic<bool> claimed_{false};
  bool has_value_;
  bool woken_ = false;
  bool limited_woken_ = false;
  bool released_ = false;
  int freed_ = 0;
};

struct WorldWithValue : World {
  WorldWithValue() : World(/*has_value=*/true) {}
};
struct WorldWithout : World {
  WorldWithout() : World(/*has_value=*/false) {}
};

void Explore(const std::function<void(World&)>& handle) {
  const model::Options options = {.preemptions_max = 4};
  const std::function<void(World&)> worker = &World::RunToEnd;
  model::ExploreWorld<WorldWithValue>(options, {worker, handle});
  model::ExploreWorld<WorldWithout>(options, {worker, handle});
}

TEST(TaskEndModel, Join) { Explore(&World::Join); }

TEST(TaskEndModel, Detach) { Explore(&World::Detach); }

TEST(TaskEndModel, GivesUpAndDetaches) {
  Explore([](World& world) {
    if (!world.JoinWithin()) world.Detach();
  });
}

TEST(TaskEndModel, GivesUpAndJoins) {
  Explore([](World& world) {
    if (!world.JoinWithin() && !world.JoinWithin()) world.Join();
  });
}

}  // namespace
}  // namespace curg::internal
