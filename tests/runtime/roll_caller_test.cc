// SPDX-License-Identifier: Apache-2.0
#include "runtime/roll_caller.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/runtime.h"
#include "runtime/sync/channel.h"
#include "tests/runtime/eventually.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using internal::RollCaller;
using internal::SightingKind;
using internal::Task;
using internal::TaskSighting;
using internal::TaskState;

// What of a task is kept for dumps only.
static_assert(sizeof(Task::id) + sizeof(Task::spawner_id) + sizeof(Task::spawn_pc) +
                  sizeof(Task::spawn_stack) + sizeof(Task::wait_reason) +
                  sizeof(Task::wait_object) + sizeof(Task::since) + sizeof(Task::roll) <=
              64);

struct Seen {
  TaskSighting sighting;
  std::string name;
  std::vector<uintptr_t> stack;
};

std::multimap<uint64_t, Seen> CallRoll() {
  std::multimap<uint64_t, Seen> all;
  auto caller = std::make_unique<RollCaller>(internal::RollCallerOptions{});
  caller->Call([&](const TaskSighting& seen) {
    all.emplace(seen.id,
                Seen{seen, std::string(seen.name), {seen.stack.begin(), seen.stack.end()}});
  });
  return all;
}

const Seen* Find(const std::multimap<uint64_t, Seen>& all, std::string_view name) {
  for (const auto& [id, seen] : all) {
    if (seen.name == name) return &seen;
  }
  return nullptr;
}

bool IsParked(const std::multimap<uint64_t, Seen>& all, std::string_view name) {
  const Seen* const seen = Find(all, name);
  return seen != nullptr && seen->sighting.kind == SightingKind::kSuspended &&
         seen->sighting.state == TaskState::kParked;
}

TEST(RollCaller, ShowsTasksOfEveryState) {
  constexpr char kSleeper[] = "a sleeper with a name that is long";
  auto runtime = Runtime::Create({.workers = 2}).value();
  Channel<int> channel;
  std::atomic<bool> stop{false};
  std::atomic<bool> spins{false};
  auto parked = runtime->TryGo({.name = "parked"}, [&] { channel.Receive(); }).value();
  std::stop_source wake;
  auto sleeper =
      runtime->TryGo({.name = kSleeper}, [&] { SleepFor(1h, wake.get_token()); }).value();
  auto hog = runtime
                 ->TryGo({.name = "hog"},
                         [&] {
                           spins = true;
                           while (!stop) {
                           }
                         })
                 .value();
  while (!spins) std::this_thread::yield();
  std::multimap<uint64_t, Seen> all;
  EXPECT_TRUE(Eventually([&] {
    all = CallRoll();
    return IsParked(all, "parked") && IsParked(all, kSleeper);
  }));
  stop = true;
  channel.Send(1);
  wake.request_stop();
  parked.Join();
  sleeper.Join();
  hog.Join();
  EXPECT_EQ(all.size(), 3u);
  const Seen* seen = Find(all, "parked");
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(seen->sighting.wait_reason, internal::WaitReason::kChannelReceive);
  EXPECT_EQ(seen->sighting.stack_end, internal::TracebackEnd::kRoot);
  EXPECT_GE(seen->stack.size(), 4u);
  seen = Find(all, "hog");
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(seen->sighting.kind, SightingKind::kRunning);
  EXPECT_EQ(seen->sighting.state, TaskState::kRunning);
  EXPECT_EQ(seen->sighting.stack_end, internal::TracebackEnd::kRoot);
  seen = Find(all, kSleeper);
  ASSERT_NE(seen, nullptr);
  EXPECT_GT(seen->sighting.due, 0);
}

// Each task that lives all the time appears exactly once, whatever the others do.
TEST(RollCaller, ShowsEachTaskOnceWhileOthersComeAndGo) {
  auto runtime = Runtime::Create({.workers = 2}).value();
  std::atomic<bool> stop{false};
  Channel<int> never;
  constexpr int kParked = 100;
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < kParked; ++i) {
    tasks.push_back(runtime->TryGo({.name = "parked"}, [&] { never.Receive(); }).value());
  }
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(runtime
                        ->TryGo({.name = "yields"},
                                [&] {
                                  while (!stop) Yield();
                                })
                        .value());
    tasks.push_back(runtime
                        ->TryGo({.name = "spawns"},
                                [&] {
                                  while (!stop) Go([] { Yield(); }).Join();
                                })
                        .value());
  }
  for (int round = 0; round < 100 && !HasFailure(); ++round) {
    const auto all = CallRoll();
    std::map<std::string, int> counts;
    for (auto it = all.begin(); it != all.end(); ++it) {
      ++counts[it->second.name];
      EXPECT_EQ(all.count(it->first), 1u) << it->second.name;
    }
    EXPECT_EQ(counts["parked"], kParked);
    EXPECT_EQ(counts["yields"], 4);
    EXPECT_EQ(counts["spawns"], 4);
  }
  stop = true;
  for (int i = 0; i < kParked; ++i) never.Send(0);
  for (auto& task : tasks) task.Join();
}

}  // namespace
}  // namespace curg
