// SPDX-License-Identifier: Apache-2.0
//
// Everything of runtime/sync under every schedule with few preemptions, and under random ones. A
// lost wake-up shows as a deadlock, a late touch as the touch of a destroyed object.

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/sync/barrier.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/condition_variable.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/once.h"
#include "runtime/sync/select.h"
#include "runtime/sync/semaphore.h"
#include "runtime/sync/shared_mutex.h"
#include "runtime/sync/wait_group.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg {
namespace {

using model::Expect;
using model::Explore;
using Bodies = std::vector<std::function<void()>>;

const Deadline kSoon = Deadline::After(std::chrono::hours(1));  // strikes when the explorer says so

// Holds an object in memory that outlasts it, so that a late touch is found, not undefined.
template <typename T>
class Destructible {
 public:
  template <typename... Args>
  explicit Destructible(Args&&... args) {
    new (memory_) T(std::forward<Args>(args)...);
  }
  T* operator->() { return reinterpret_cast<T*>(memory_); }
  T& operator*() { return *operator->(); }
  void Destroy() { operator->()->~T(); }

 private:
  alignas(T) char memory_[sizeof(T)];
};

void Report(int64_t schedules) {
  testing::Test::RecordProperty("schedules", std::to_string(schedules));
  std::printf("%lld schedules\n", static_cast<long long>(schedules));
}

struct Inside {
  void Enter() { Expect(++count == 1, "two hold the mutex"); }
  void Leave() { --count; }
  int count = 0;
};

TEST(MutexModelTest, ThreeExclude) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<Mutex>();
    auto inside = std::make_shared<Inside>();
    auto body = [=] {
      for (int i = 0; i < 2; ++i) {
        mutex->lock();
        inside->Enter();
        model::Step();
        inside->Leave();
        mutex->unlock();
      }
    };
    return Bodies{body, body, body};
  }));
}

TEST(MutexModelTest, OneGivesUp) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<Mutex>();
    auto inside = std::make_shared<Inside>();
    auto body = [=] {
      mutex->lock();
      inside->Enter();
      model::Step();
      inside->Leave();
      mutex->unlock();
    };
    auto impatient = [=] {
      if (mutex->LockUntil(kSoon) != WaitStatus::kOk) return;
      inside->Enter();
      inside->Leave();
      mutex->unlock();
    };
    return Bodies{body, impatient, body};
  }));
}

TEST(MutexModelTest, TheLastDestroysIt) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<Destructible<Mutex>>();
    auto users = std::make_shared<int>(3);
    auto body = [=] {
      (*mutex)->lock();
      model::Step();
      const bool last = --*users == 0;
      (*mutex)->unlock();
      if (last) mutex->Destroy();
    };
    return Bodies{body, body, body};
  }));
}

// As above with one that gives up and tries again: an unlock may then find its queue empty.
TEST(MutexModelTest, TheLastDestroysItHavingGivenUpBefore) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<Destructible<Mutex>>();
    auto users = std::make_shared<int>(2);
    auto leave = [=] {
      const bool last = --*users == 0;
      (*mutex)->unlock();
      if (last) mutex->Destroy();
    };
    return Bodies{[=] {
                    (*mutex)->lock();
                    model::Step();
                    leave();
                  },
                  [=] {
                    while ((*mutex)->LockUntil(kSoon) != WaitStatus::kOk) {
                    }
                    leave();
                  }};
  }));
}

TEST(WaitGroupModelTest, TheWaiterDestroysIt) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto group = std::make_shared<Destructible<WaitGroup>>(2);
    auto done = std::make_shared<int>(0);
    auto work = [=] {
      ++*done;
      (*group)->Done();
    };
    return Bodies{work, work, [=] {
                    while ((*group)->WaitUntil(kSoon) != WaitStatus::kOk) {
                    }
                    Expect(*done == 2, "returned before all were done");
                    group->Destroy();
                  }};
  }));
}

TEST(ChannelModelTest, TheReceiverDestroysIt) {
  for (size_t capacity : {0, 1}) {
    Report(Explore({.preemptions_max = 3}, [capacity] {
      auto ch = std::make_shared<Destructible<Channel<int>>>(capacity);
      auto send = [=] { (*ch)->Send(1); };
      return Bodies{send, send, [=] {
                      Expect((*ch)->Receive() == 1 && (*ch)->Receive() == 1,
                             "a value went missing");
                      ch->Destroy();
                    }};
    }));
  }
}

// The last of those who hear that it is closed.
TEST(ChannelModelTest, WhoHearsOfItsCloseDestroysIt) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto ch = std::make_shared<Destructible<Channel<int>>>(0);
    auto receivers = std::make_shared<int>(2);
    auto receive = [=] {
      Expect(!(*ch)->Receive().has_value(), "nothing was sent");
      if (--*receivers == 0) ch->Destroy();
    };
    return Bodies{receive, receive, [=] { (*ch)->Close(); }};
  }));
}

// Whatever gives up when: a value is received exactly if its send succeeded.
TEST(ChannelModelTest, NoValueIsLostOrDoubledByGivingUp) {
  for (size_t capacity : {0, 1}) {
    Report(Explore({.preemptions_max = 3}, [capacity] {
      struct State {
        explicit State(size_t capacity) : ch(capacity) {}
        Channel<int> ch;
        int sent = 0;
        int received = 0;
        int senders = 2;
      };
      auto state = std::make_shared<State>(capacity);
      auto send = [=] {
        if (state->ch.SendUntil(1, kSoon) == WaitStatus::kOk) ++state->sent;
        if (--state->senders == 0) state->ch.Close();
      };
      return Bodies{send, send, [=] {
                      if (state->ch.ReceiveUntil(kSoon)) ++state->received;
                      while (state->ch.Receive()) ++state->received;
                      Expect(state->sent == state->received, "sent is not received");
                    }};
    }));
  }
}

TEST(ChannelModelTest, AReceiveMakesRoomForTheSenderThatWaits) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto ch = std::make_shared<Channel<int>>(1);
    auto send = [=] { ch->Send(1); };
    return Bodies{send, send, [=] { Expect(ch->Receive() == 1, "no value"); }};
  }));
}

TEST(ChannelModelTest, CloseWakesAll) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto ch = std::make_shared<Channel<int>>();
    auto receive = [=] { Expect(!ch->Receive(), "something out of nothing"); };
    return Bodies{receive, receive, [=] { ch->Close(); }};
  }));
}

// Two selects that can serve each other on either channel.
TEST(SelectModelTest, TwoMeet) {
  Report(Explore({.preemptions_max = 3}, [] {
    struct State {
      Channel<int> a;
      Channel<int> b;
      int done = 0;
    };
    auto state = std::make_shared<State>();
    auto one = [=] {
      Select(OnSend(state->a, 1, [&] { ++state->done; }),
             OnReceive(state->b, [&](std::optional<int>) { ++state->done; }));
    };
    auto other = [=] {
      Select(OnSend(state->b, 1, [&] { ++state->done; }),
             OnReceive(state->a, [&](std::optional<int>) { ++state->done; }));
    };
    return Bodies{one, other};
  }));
}

// Three that any other two could serve, and that may all give up: each carries out at most one
// case, and what was sent was received.
TEST(SelectModelTest, ClaimsAreWonOnce) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      Channel<int> a;
      Channel<int> b;
      int sent = 0;
      int received = 0;
      int running = 3;
    };
    auto state = std::make_shared<State>();
    auto end = [=] {
      if (--state->running > 0) return;
      Expect(state->sent == state->received, "sent is not received");
      Expect(!state->a.TryReceive() && !state->b.TryReceive(), "a case was left behind");
    };
    auto send = [=] { ++state->sent; };
    auto receive = [=](std::optional<int> value) { state->received += *value; };
    return Bodies{
        [=] {
          Select(OnSend(state->a, 1, send), OnReceive(state->b, receive), OnTimeout(kSoon, [] {}));
          end();
        },
        [=] {
          Select(OnSend(state->b, 1, send), OnReceive(state->a, receive), OnTimeout(kSoon, [] {}));
          end();
        },
        [=] {
          Select(OnReceive(state->a, receive), OnReceive(state->b, receive),
                 OnTimeout(kSoon, [] {}));
          end();
        }};
  }));
}

TEST(SharedMutexModelTest, ReadersOrOneWriter) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      SharedMutex mutex;
      int readers = 0;
      int writers = 0;
    };
    auto state = std::make_shared<State>();
    auto write = [=] {
      Expect(++state->writers == 1 && state->readers == 0, "a writer is alone");
      model::Step();
      --state->writers;
      state->mutex.unlock();
    };
    auto read = [=] {
      state->mutex.lock_shared();
      ++state->readers;
      Expect(state->writers == 0, "no writer is beside readers");
      model::Step();
      --state->readers;
      state->mutex.unlock_shared();
    };
    return Bodies{read, read,
                  [=] {
                    state->mutex.lock();
                    write();
                  },
                  [=] {
                    if (state->mutex.LockUntil(kSoon) == WaitStatus::kOk) write();
                  }};
  }));
}

// A reader stays until another is in, before whom a writer stands who gives up.
TEST(SharedMutexModelTest, AWriterThatGivesUpLetsReadersIn) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<SharedMutex>();
    auto second_is_in = std::make_shared<bool>(false);
    return Bodies{[=] {
                    mutex->lock_shared();
                    model::Sleep(second_is_in.get(), /*may_time_out=*/false);
                    mutex->unlock_shared();
                  },
                  [=] {
                    if (mutex->LockUntil(kSoon) == WaitStatus::kOk) mutex->unlock();
                  },
                  [=] {
                    mutex->lock_shared();
                    *second_is_in = true;
                    mutex->unlock_shared();
                  }};
  }));
}

TEST(SharedMutexModelTest, TheLastDestroysIt) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto mutex = std::make_shared<Destructible<SharedMutex>>();
    auto users = std::make_shared<int>(3);
    auto write = [=] {
      (*mutex)->lock();
      const bool last = --*users == 0;
      (*mutex)->unlock();
      if (last) mutex->Destroy();
    };
    auto read = [=] {
      (*mutex)->lock_shared();
      model::Step();
      (*mutex)->unlock_shared();
      write();
    };
    return Bodies{write, write, read};
  }));
}

TEST(SemaphoreModelTest, NeverMoreThanItsPermitsAreInside) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      Semaphore semaphore{2};
      int64_t inside = 0;
      int running = 3;
    };
    auto state = std::make_shared<State>();
    auto work = [=](int64_t permits) {
      state->inside += permits;
      Expect(state->inside <= 2, "there are two permits");
      model::Step();
      state->inside -= permits;
      state->semaphore.Release(permits);
    };
    auto end = [=] {
      if (--state->running == 0) Expect(state->semaphore.available() == 2, "all are back");
    };
    auto one = [=] {
      state->semaphore.Acquire();
      work(1);
      end();
    };
    return Bodies{one, one, [=] {
                    if (state->semaphore.AcquireUntil(2, kSoon) == WaitStatus::kOk) work(2);
                    end();
                  }};
  }));
}

// The permits that one wants will never be there; those behind it want fewer.
TEST(SemaphoreModelTest, WhoGivesUpLetsThoseBehindIn) {
  Report(Explore({.preemptions_max = 4}, [] {
    auto semaphore = std::make_shared<Semaphore>(2);
    auto acquire = [=] { semaphore->Acquire(); };
    return Bodies{[=] {
                    Expect(semaphore->AcquireUntil(3, kSoon) == WaitStatus::kTimeout,
                           "there are two permits");
                  },
                  acquire, acquire};
  }));
}

TEST(SemaphoreModelTest, WhoHasThePermitsDestroysIt) {
  Report(Explore({.preemptions_max = 4}, [] {
    auto semaphore = std::make_shared<Destructible<Semaphore>>(0);
    auto release = [=] { (*semaphore)->Release(); };
    return Bodies{release, release, [=] {
                    (*semaphore)->Acquire(2);
                    semaphore->Destroy();
                  }};
  }));
}

// There is one notification: who gives up does not take it along, who is woken in vain passes it
// on.
TEST(ConditionVariableModelTest, NoNotificationIsLost) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      Mutex mutex;
      ConditionVariable changed;
      bool there = false;
    };
    auto state = std::make_shared<State>();
    return Bodies{[=] {
                    std::unique_lock lock(state->mutex);
                    if (state->changed.WaitUntil(lock, kSoon) == WaitStatus::kOk)
                      state->changed.NotifyOne();
                  },
                  [=] {
                    std::unique_lock lock(state->mutex);
                    state->changed.Wait(lock, [=] { return state->there; });
                  },
                  [=] {
                    std::unique_lock lock(state->mutex);
                    state->there = true;
                    state->changed.NotifyOne();
                  }};
  }));
}

TEST(ConditionVariableModelTest, NotifyAllWakesAll) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      Mutex mutex;
      ConditionVariable changed;
      bool over = false;
    };
    auto state = std::make_shared<State>();
    auto wait = [=] {
      std::unique_lock lock(state->mutex);
      state->changed.Wait(lock, [=] { return state->over; });
    };
    return Bodies{wait, wait, [=] {
                    {
                      std::lock_guard lock(state->mutex);
                      state->over = true;
                    }
                    state->changed.NotifyAll();
                  }};
  }));
}

// The first call throws, so another is made; one that gives up meanwhile may find none.
TEST(OnceModelTest, OneCallIsDone) {
  Report(Explore({.preemptions_max = 2}, [] {
    struct State {
      Once once;
      int calls = 0;
      bool running = false;
      bool done = false;
    };
    auto state = std::make_shared<State>();
    auto call = [=] {
      Expect(!state->running && !state->done, "one calls at a time, and none after it was done");
      state->running = true;
      model::Step();
      state->running = false;
      if (++state->calls == 1) throw 1;
      state->done = true;
    };
    auto run = [=] {
      try {
        state->once.Do(call);
        Expect(state->done, "it returns when a call is done");
      } catch (int) {
      }
    };
    return Bodies{run, run, [=] {
                    try {
                      if (state->once.DoUntil(call, kSoon) == WaitStatus::kOk)
                        Expect(state->done, "it returns when a call is done");
                    } catch (int) {
                    }
                  }};
  }));
}

// Two meet twice, however often one of them gives up in between.
TEST(BarrierModelTest, NobodyIsAPhaseAhead) {
  Report(Explore({.preemptions_max = 3}, [] {
    struct State {
      Barrier barrier{2};
      int phases[2] = {};
      int lasts = 0;
    };
    auto state = std::make_shared<State>();
    auto come = [=](int self, auto arrive) {
      for (int phase = 1; phase <= 2; ++phase) {
        ++state->phases[self];
        if (arrive()) ++state->lasts;
        Expect(state->phases[1 - self] >= phase, "all have arrived");
      }
      if (state->phases[1 - self] == 2) Expect(state->lasts <= 2, "one is the last in each phase");
    };
    return Bodies{
        [=] { come(0, [=] { return state->barrier.ArriveAndWait(); }); },
        [=] {
          come(1, [=] {
            bool last = false;
            while (state->barrier.ArriveAndWaitUntil(kSoon, {}, &last) != WaitStatus::kOk) {
            }
            return last;
          });
        }};
  }));
}

TEST(BarrierModelTest, OneThatDropsOutLetsTheOthersGo) {
  Report(Explore({.preemptions_max = 3}, [] {
    auto barrier = std::make_shared<Barrier>(3);
    auto wait = [=] { barrier->ArriveAndWait(); };
    return Bodies{wait, wait, [=] { barrier->ArriveAndDrop(); }};
  }));
}

}  // namespace
}  // namespace curg
