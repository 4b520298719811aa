// SPDX-License-Identifier: Apache-2.0
//
// Runs the owners of timers, sleepers, workers that fire what is due, and one that moves all to
// another queue through all schedules with few preemptions, and through random ones: each timer
// fires or is taken back, never both and never neither, and each sleeper is woken once.
//
// Tried by hand: it notices a Cancel that does not look again which queue the timer is in, one that
// does not ask whose the node is, a worker that fires what is not due, and a move that leaves a
// timer or a sleeper behind.
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/timers.h"
#include "tests/runtime/sync/model/explore_world.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::internal {
namespace {

using model::Expect;

constexpr int64_t kDue = 10;

struct Counted : Timer {
  Counted() {
    when = kDue;
    fire = [](Timer* self) {
      model::Step();
      auto& timer = *static_cast<Counted*>(self);
      Expect(!timer.cancelled, "what was taken back does not fire");
      Expect(!timer.fired, "it fires once");
      timer.fired = true;
    };
  }
  bool fired = false;
  bool cancelled = false;
};

// A task that only sleeps, as the queue knows it: by its address.
struct Sleeper {
  bool woken = false;
  Task* task() { return reinterpret_cast<Task*>(this); }
};

// A timer's ticks are nanoseconds here.
struct World {
  std::array<TimerQueue, 2> queues{TimerQueue(/*tick_shift=*/0), TimerQueue(/*tick_shift=*/0)};
  std::array<Counted, 3> timers;
  std::array<Sleeper, 3> sleepers;

  ~World() {
    for (TimerQueue& queue : queues) {
      Expect(queue.size() == 0, "nothing is left");
      Expect(queue.Earliest() == TimerQueue::kNever, "and nobody waits for it");
    }
  }

  void Cancel(Counted& timer) {
    if (TimerQueue::Cancel(&timer)) {
      Expect(!timer.fired, "what has fired cannot be taken back");
      timer.cancelled = true;
    } else {
      model::Sleep(&timer.fired, /*may_time_out=*/false);  // a worker is on its way
    }
  }
  // Sets a timer and takes it back, as a wait that is over before its deadline.
  void AddAndCancel(int timer, int queue) {
    queues[queue].Add(&timers[timer]);
    Cancel(timers[timer]);
  }
  void RunDue(int queue, size_t sleepers_max = SIZE_MAX) {
    queues[queue].RunDue(kDue, sleepers_max, [](std::span<Task* const> tasks) {
      model::Step();
      for (Task* task : tasks) {
        auto& sleeper = *reinterpret_cast<Sleeper*>(task);
        Expect(!sleeper.woken, "it is woken once");
        sleeper.woken = true;
      }
    });
  }
  void Sleep(int sleeper, int queue, int64_t when = kDue) {
    queues[queue].AddSleeper(sleepers[sleeper].task(), when);
    model::Sleep(&sleepers[sleeper].woken, /*may_time_out=*/false);
  }
  // A worker that stays until all sleepers have been woken.
  void RunUntilAllAreAwake(int queue, int count, size_t sleepers_max) {
    for (int i = 0; i < count; ++i) {
      while (!sleepers[i].woken) {
        RunDue(queue, sleepers_max);
        if (!sleepers[i].woken) model::SpinStep();
      }
    }
  }
  void Move(int from, int to) { queues[from].MoveTo(queues[to]); }
};

void Explore(const model::Options& options,
             const std::vector<std::function<void(World&)>>& bodies) {
  model::ExploreWorld<World>(options, bodies);
}

TEST(TimersModel, CancelAndFire) {
  Explore({.preemptions_max = 3}, {[](World& world) {
                                     world.AddAndCancel(0, 0);
                                     world.AddAndCancel(1, 0);
                                   },
                                   [](World& world) { world.AddAndCancel(2, 0); },
                                   [](World& world) {
                                     world.RunDue(0);
                                     world.RunDue(0);
                                   }});
}

TEST(TimersModel, TwoFire) {
  Explore({.preemptions_max = 4},
          {[](World& world) {
             world.queues[0].Add(&world.timers[0]);
             world.queues[0].Add(&world.timers[1]);
             world.Cancel(world.timers[0]);
             world.Cancel(world.timers[1]);
           },
           [](World& world) { world.RunDue(0); }, [](World& world) { world.RunDue(0); }});
}

// A timer that is not due yet stays beside one that is, and its owner sets it again.
TEST(TimersModel, NotBeforeItIsDue) {
  Explore({.preemptions_max = 4}, {[](World& world) {
                                     world.timers[0].when = kDue + 1;
                                     world.queues[0].Add(&world.timers[0]);
                                     world.AddAndCancel(1, 0);
                                     Expect(TimerQueue::Cancel(&world.timers[0]), "it was not due");
                                     world.timers[0].when = kDue;
                                     world.AddAndCancel(0, 0);
                                   },
                                   [](World& world) {
                                     world.RunDue(0);
                                     world.RunDue(0);
                                     world.RunDue(0);
                                   }});
}

// The numbers of the nodes are other ones in the other queue.
TEST(TimersModel, CancelAndMove) {
  Explore({.preemptions_max = 2}, {[](World& world) {
                                     world.AddAndCancel(0, 0);
                                     world.AddAndCancel(1, 1);
                                   },
                                   [](World& world) { world.AddAndCancel(2, 1); },
                                   [](World& world) {
                                     world.Move(0, 1);
                                     world.Move(1, 0);
                                   }});
}

TEST(TimersModel, CancelFireAndMove) {
  Explore({.preemptions_max = 3}, {[](World& world) { world.AddAndCancel(0, 0); },
                                   [](World& world) {
                                     world.RunDue(0);
                                     world.RunDue(1);
                                   },
                                   [](World& world) {
                                     world.Move(0, 1);
                                     world.RunDue(1);
                                   }});
}

TEST(TimersModel, SleepersAreWokenOnce) {
  Explore({.preemptions_max = 2},
          {[](World& world) { world.Sleep(0, 0); }, [](World& world) { world.Sleep(1, 0); },
           [](World& world) { world.RunUntilAllAreAwake(0, 2, /*sleepers_max=*/1); },
           [](World& world) { world.RunDue(0); }});
}

TEST(TimersModel, SleepersMove) {
  Explore({.preemptions_max = 3}, {[](World& world) {
                                     world.queues[0].AddSleeper(world.sleepers[1].task(), kDue);
                                     world.Sleep(0, 0, kDue - 1);
                                   },
                                   [](World& world) {
                                     world.Move(0, 1);
                                     world.RunDue(1);
                                   },
                                   [](World& world) {
                                     while (!world.sleepers[0].woken || !world.sleepers[1].woken) {
                                       world.RunDue(0, 1);
                                       world.RunDue(1, 1);
                                       model::SpinStep();
                                     }
                                   }});
}

TEST(TimersModel, SleepersBesideTimers) {
  Explore({.preemptions_max = 3},
          {[](World& world) { world.AddAndCancel(0, 0); }, [](World& world) { world.Sleep(0, 0); },
           [](World& world) { world.RunUntilAllAreAwake(0, 1, 1); }});
}

}  // namespace
}  // namespace curg::internal
