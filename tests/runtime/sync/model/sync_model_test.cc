// SPDX-License-Identifier: Apache-2.0
//
// Mutex, wait group, channel and select under every schedule with few preemptions, and under random
// ones. A lost wake-up shows as a deadlock, a late touch as the touch of a destroyed object.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/select.h"
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

}  // namespace
}  // namespace curg
