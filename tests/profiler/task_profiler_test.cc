// SPDX-License-Identifier: Apache-2.0
#include "profiler/task_profiler.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "profiler/wait_graph.h"
#include "runtime/blocking.h"
#include "runtime/context.h"
#include "runtime/cpu_accounting.h"
#include "runtime/delayed_task.h"
#include "runtime/go.h"
#include "runtime/other_thread.h"
#include "runtime/roll_caller.h"
#include "runtime/runtime.h"
#include "runtime/spawn_stack.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/channel_ends.h"
#include "runtime/sync/mutex.h"
#include "tests/profiler/await_parked.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

#ifdef CURG_TSAN
constexpr int kRounds = 20;
#else
constexpr int kRounds = 100;
#endif

std::string NameOf(const TaskProfile& profile, const TaskRecord& task) {
  return profile.names[task.name];
}

const TaskRecord* Find(const TaskProfile& profile, std::string_view name) {
  for (const TaskRecord& task : profile.tasks) {
    if (profile.names[task.name] == name) return &task;
  }
  return nullptr;
}

int CountNamed(const TaskProfile& profile, std::string_view name) {
  int count = 0;
  for (const TaskRecord& task : profile.tasks) count += profile.names[task.name] == name;
  return count;
}

// Tasks that park until the end.
class Parked {
 public:
  ~Parked() {
    for (auto& task : tasks_) (void)task, channel_.Send(0);
    for (auto& task : tasks_) task.Join();
  }
  void Add(Runtime& runtime, int count, const TaskOptions& options) {
    for (int i = 0; i < count; ++i) {
      tasks_.push_back(runtime.TryGo(options, [this] { channel_.Receive(); }).value());
    }
  }

 private:
  Channel<int> channel_;
  std::vector<JoinHandle<void>> tasks_;
};

std::unique_ptr<Runtime> MakeRuntime(int workers = 2) {
  return Runtime::Create({.workers = workers}).value();
}

TEST(TaskProfiler, GroupsByStackAndLabels) {
  auto runtime = MakeRuntime();
  Parked parked;
  parked.Add(*runtime, 50, {.name = "plain"});
  parked.Add(*runtime, 40, {.name = "a", .tag = Labels::Of({{"job", "a"}})});
  parked.Add(*runtime, 10, {.name = "b", .tag = Labels::Of({{"job", "b"}})});
  AwaitParked(100);
  const TaskProfile profile = CollectTaskProfile({.each_task = false});
  EXPECT_EQ(profile.total, 100);
  EXPECT_EQ(profile.matching, 100);
  EXPECT_TRUE(profile.tasks.empty());
  ASSERT_EQ(profile.groups.size(), 3u);
  EXPECT_EQ(profile.groups[0].count, 50);
  EXPECT_EQ(profile.groups[1].count, 40);
  EXPECT_EQ(profile.groups[2].count, 10);
  EXPECT_EQ(Labels::FromTag(profile.tags[profile.groups[1].tag]).ToString(), R"({"job":"a"})");
  for (const TaskGroup& group : profile.groups) {
    EXPECT_EQ(group.wait, internal::WaitReason::kChannelReceive);
    EXPECT_FALSE(group.truncated);
  }
}

// Of each task by itself, while somebody asks.
TEST(TaskProfiler, ShowsWhatEachTaskHasUsed) {
  auto runtime = MakeRuntime();
  const CpuAccounting accounting;
  Channel<int> leave;
  const auto task = [&](const char* name, std::chrono::nanoseconds cpu) {
    return runtime->Go({.name = name}, [&leave, cpu] {
      while (CurrentTaskCpuTime() < cpu) {
      }
      leave.Receive();
    });
  };
  auto much = task("much", 30ms);
  auto little = task("little", 1ms);
  AwaitParked(2);
  const TaskProfile profile = CollectTaskProfile({});
  EXPECT_GE(Find(profile, "much")->cpu, 30ms);
  EXPECT_GE(Find(profile, "little")->cpu, 1ms);
  EXPECT_LT(Find(profile, "little")->cpu, 30ms);
  leave.Close();
  much.Join();
  little.Join();
}

TEST(TaskProfiler, FiltersAndLimits) {
  auto runtime = MakeRuntime();
  Parked parked;
  const Labels labels = Labels::Of({{"job", "a"}});
  parked.Add(*runtime, 5, {.name = "reader 1"});
  parked.Add(*runtime, 3, {.name = "writer", .tag = labels});
  AwaitParked(8);
  EXPECT_EQ(CollectTaskProfile({.name = "reader"}).matching, 5);
  EXPECT_EQ(CollectTaskProfile({.tag = [](const Tag* tag) { return tag != nullptr; }}).matching, 3);
  EXPECT_EQ(CollectTaskProfile({.status = TaskStatus::kRunning}).matching, 0);
  EXPECT_EQ(CollectTaskProfile({.age_min = 1h}).matching, 0);
  EXPECT_EQ(CollectTaskProfile({.age_min = 1h}).total, 8);
  std::this_thread::sleep_for(150ms);
  EXPECT_EQ(CollectTaskProfile({.age_min = 100ms}).matching, 8);
  const TaskProfile limited = CollectTaskProfile({.tasks_max = 2});
  EXPECT_EQ(limited.tasks.size(), 2u);
  EXPECT_EQ(limited.left_out, 6);
  EXPECT_EQ(limited.matching, 8);
}

TEST(TaskProfiler, LeavesRuntimeTasksOutUnlessAsked) {
  auto runtime = MakeRuntime();
  EXPECT_EQ(CollectTaskProfile().total, 0);
  const TaskProfile all = CollectTaskProfile({.runtime_tasks = true});
  EXPECT_NE(Find(all, "sysmon"), nullptr);
  EXPECT_NE(Find(all, "task profile"), nullptr);
}

TEST(TaskProfiler, ShowsTheCallersTaskWithItsLabels) {
  MakeRuntime()->Run([] {
    const ScopedLabels labels({{"who", "caller"}});
    const TaskProfile profile = CollectTaskProfile();
    ASSERT_EQ(profile.tasks.size(), 1u);
    EXPECT_EQ(profile.tasks[0].id, CurrentTaskId());
    EXPECT_EQ(Labels::FromTag(profile.tags[profile.GroupOf(profile.tasks[0]).tag]).Get("who"),
              "caller");
  });
}

TEST(TaskProfiler, ShowsWhatTasksWaitFor) {
  auto runtime = MakeRuntime();
  Channel<int> channel;
  auto joined = runtime->TryGo({.name = "joined"}, [&] { channel.Receive(); }).value();
  auto joiner = runtime->TryGo({.name = "joiner"}, [&] { joined.Join(); }).value();
  auto sleeper = runtime->TryGo({.name = "sleeper"}, [] { SleepFor(1h); }).value();
  sleeper.Detach();
  AwaitParked(3);
  const TaskProfile profile = CollectTaskProfile();
  const TaskRecord* task = Find(profile, "joined");
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->wait_object, &channel);
  const uint64_t joined_id = task->id;
  task = Find(profile, "joiner");
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->wait_task, joined_id);
  task = Find(profile, "sleeper");
  ASSERT_NE(task, nullptr);
  EXPECT_GT(task->due, 59min);
  EXPECT_LE(task->due, 60min);
  channel.Send(1);
  joiner.Join();
}

TEST(TaskProfiler, FindsTasksThatWaitForEachOther) {
  KeepMutexOwners(true);
  auto runtime = MakeRuntime();
  Mutex a;
  Mutex b;
  Channel<int> meet;
  Channel<int> go;
  std::stop_source stop;
  const auto lock_both = [&](Mutex& first, Mutex& second) {
    const std::lock_guard lock(first);
    meet.Send(1);
    go.Receive();
    if (second.Lock(stop.get_token()) == WaitStatus::kOk) second.unlock();
  };
  auto one = runtime->TryGo({.name = "one"}, [&] { lock_both(a, b); }).value();
  auto two = runtime->TryGo({.name = "two"}, [&] { lock_both(b, a); }).value();
  meet.Receive();
  meet.Receive();
  go.Close();  // both hold their first
  std::vector<std::vector<size_t>> cycles;
  TaskProfile profile;
  while (cycles.empty()) {
    profile = CollectTaskProfile();
    cycles = WaitCycles(profile);
  }
  KeepMutexOwners(false);
  ASSERT_EQ(cycles.size(), 1u);
  ASSERT_EQ(cycles[0].size(), 2u);
  EXPECT_EQ(NameOf(profile, profile.tasks[cycles[0][0]]), "one");
  EXPECT_EQ(NameOf(profile, profile.tasks[cycles[0][1]]), "two");
  stop.request_stop();
  one.Join();
  two.Join();
}

// "consumer" receives from a channel that only "producer" sends to, who waits for "cleaner" to end,
// who waits to send to a channel that only "consumer" receives from.
TEST(TaskProfiler, FindsACircleThroughChannels) {
  auto runtime = MakeRuntime();
  Channel<int> items;
  Channel<int> refuse;
  std::stop_source stop;
  auto cleaner =
      runtime->TryGo({.name = "cleaner"}, [&] { (void)refuse.Send(1, stop.get_token()); }).value();
  auto producer = runtime
                      ->TryGo({.name = "producer"},
                              [&] {
                                const SoleSender end(items);
                                cleaner.Join();
                              })
                      .value();
  auto consumer = runtime
                      ->TryGo({.name = "consumer"},
                              [&] {
                                const SoleReceiver end(refuse);
                                (void)items.Receive(stop.get_token());
                              })
                      .value();
  AwaitParked(3);
  const TaskProfile profile = CollectTaskProfile();
  const auto cycles = WaitCycles(profile);
  ASSERT_EQ(cycles.size(), 1u);
  ASSERT_EQ(cycles[0].size(), 3u);
  EXPECT_EQ(NameOf(profile, profile.tasks[cycles[0][0]]), "cleaner");
  EXPECT_EQ(NameOf(profile, profile.tasks[cycles[0][1]]), "consumer");
  EXPECT_EQ(NameOf(profile, profile.tasks[cycles[0][2]]), "producer");
  runtime->Run([&] {
    const SoleSender another(items);  // now neither is sole
    EXPECT_TRUE(WaitCycles(CollectTaskProfile()).empty());
  });
  EXPECT_EQ(WaitCycles(CollectTaskProfile()).size(), 1u);
  stop.request_stop();
  producer.Join();
  consumer.Join();
  EXPECT_TRUE(internal::KnownChannelEnds().empty());
}

// As Go's TestTracebackAll while it is profiled.
TEST(TaskProfiler, WhileTheCpuIsProfiled) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  auto profile = StartCpuProfile({.rate_hz = 1000}).value();
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(runtime
                        ->TryGo({.name = "switches"},
                                [&] {
                                  while (!stop) Yield();
                                })
                        .value());
  }
  // A round waits for each running task's thread to get a CPU: on a busy machine few fit.
  constexpr int kRoundsMin = 20;
  const auto end = std::chrono::steady_clock::now() + 4s;
  for (int i = 0; i < kRoundsMin || std::chrono::steady_clock::now() < end; ++i)
    ASSERT_EQ(internal::CollectTaskProfileHere({}).total, 4);
  stop = true;
  for (auto& task : tasks) task.Join();
  EXPECT_GT(profile.Stop().quality.samples, 0);
}

TEST(TaskProfiler, KeepsWholeSpawnStacks) {
  KeepSpawnStacks(true);
  auto runtime = MakeRuntime();
  Channel<int> channel;
  auto tasks = runtime->Run([&] {
    std::vector<JoinHandle<void>> children;
    for (int i = 0; i < 3; ++i)
      children.push_back(Go({.name = "child"}, [&] { channel.Receive(); }));
    return children;
  });
  AwaitParked(3);
  const TaskProfile profile = CollectTaskProfile();
  KeepSpawnStacks(false);
  for (const TaskRecord& task : profile.tasks) {
    ASSERT_NE(task.spawn_stack, 0u);
    EXPECT_EQ(task.spawn_stack, profile.tasks[0].spawn_stack);  // equal ones are one
    const auto stack = profile.spawn_stacks[task.spawn_stack];
    ASSERT_GE(stack.size(), 3u);
    EXPECT_EQ(stack[0], task.spawn_pc);
  }
  for (int i = 0; i < 3; ++i) channel.Send(1);
  for (auto& task : tasks) task.Join();
}

TEST(TaskProfiler, ShowsATaskThatHasNotStarted) {
  auto runtime = MakeRuntime(1);
  runtime->Run([] {
    bool shown = false;
    // The child may begin before it is seen: when this worker is held up, another one is started.
    for (int i = 0; i < 100 && !shown; ++i) {
      auto child = Go({.name = "child"}, [] {});
      const TaskProfile profile = internal::CollectTaskProfileHere({});
      const TaskRecord* task = Find(profile, "child");
      shown = task != nullptr && profile.GroupOf(*task).status == TaskStatus::kNotStarted;
      child.Join();
    }
    EXPECT_TRUE(shown);
  });
}

TEST(TaskProfiler, ShowsTasksThatAreToStartLater) {
  auto runtime = MakeRuntime();
  const Labels labels = Labels::Of({{"k", "v"}});
  DelayedTask task = GoAfter(*runtime, 1h, {.name = "later", .tag = labels}, [] {});
  TaskProfile profile = CollectTaskProfile();
  ASSERT_EQ(profile.tasks.size(), 1u);
  EXPECT_EQ(NameOf(profile, profile.tasks[0]), "later");
  const TaskGroup& group = profile.GroupOf(profile.tasks[0]);
  EXPECT_EQ(group.status, TaskStatus::kNotStarted);
  EXPECT_EQ(Labels::FromTag(profile.tags[group.tag]), labels);
  EXPECT_TRUE(task.Cancel());
  EXPECT_EQ(CollectTaskProfile().total, 0);
}

// Cancelled, set again and started while dumps are made: never twice, never without its labels.
TEST(TaskProfiler, TasksThatAreToStartLaterComeAndGo) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  auto churns = runtime
                    ->TryGo({.name = "churns"},
                            [&] {
                              for (int i = 0; !stop; ++i) {
                                const Labels labels = Labels::Of({{"number", absl::StrCat(i)}});
                                DelayedTask task =
                                    GoAfter(std::chrono::microseconds(i % 3 == 0 ? 20 : 1000),
                                            {.name = "later", .tag = labels}, [] {});
                                Yield();
                                if (i % 3 == 1) task.Cancel();
                                if (i % 3 == 2) task.Reset(10us);
                                if (i % 8 == 0) SleepFor(50us);
                              }
                            })
                    .value();
  int seen = 0;
  for (int i = 0; i < 20'000 && (i < 5 * kRounds || seen < kRounds); ++i) {
    const TaskProfile profile = internal::CollectTaskProfileHere({});
    std::set<uint64_t> ids;
    for (const TaskRecord& task : profile.tasks) {
      ASSERT_TRUE(ids.insert(task.id).second);
      if (NameOf(profile, task) != "later") continue;
      ++seen;
      ASSERT_TRUE(Labels::FromTag(profile.tags[profile.GroupOf(task).tag]).Get("number"));
    }
  }
  EXPECT_GE(seen, kRounds);
  stop = true;
  churns.Join();
}

TEST(TaskProfiler, SaysWhichTasksCannotBeReached) {
  auto runtime = MakeRuntime();
  std::atomic<int> begun{0};
  std::atomic<bool> stop{false};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t sleeper = 0;
  auto deaf = runtime
                  ->TryGo({.name = "deaf"},
                          [&] {
                            sigset_t set;
                            sigemptyset(&set);
                            sigaddset(&set, SIGURG);
                            pthread_sigmask(SIG_BLOCK, &set, nullptr);
                            ++begun;
                            while (!stop) {
                            }
                            pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
                          })
                  .value();
  auto asleep = runtime
                    ->TryGo({.name = "asleep", .tag = Labels::Of({{"k", "v"}})},
                            [&] {
                              sleeper = gettid();
                              ++begun;
                              char end;
                              EXPECT_EQ(read(ends[0], &end, 1), 1);
                            })
                    .value();
  while (begun < 2 || !internal::ThreadSleeps(sleeper)) std::this_thread::sleep_for(1ms);
  const TaskProfile profile = CollectTaskProfile();
  stop = true;
  EXPECT_EQ(write(ends[1], "", 1), 1);
  const TaskRecord* task = Find(profile, "deaf");
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(profile.GroupOf(*task).status, TaskStatus::kUnreached);
  EXPECT_EQ(profile.unreached, 1);
  task = Find(profile, "asleep");
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(profile.GroupOf(*task).status, TaskStatus::kInSystemCall);
  EXPECT_EQ(Labels::FromTag(profile.tags[profile.GroupOf(*task).tag]).Get("k"), "v");
  deaf.Join();
  asleep.Join();
  for (const int end : ends) close(end);
}

// A dump walks a task in Blocking from where it called that, and never interrupts its system calls.
TEST(TaskProfiler, LeavesBlockingTasksAlone) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  std::atomic<int> interrupted{0};
  std::atomic<int> calls{0};
  const Labels labels = Labels::Of({{"k", "v"}});
  auto polls = runtime
                   ->TryGo({.name = "polls", .tag = labels},
                           [&] {
                             while (!stop) {
                               if (Blocking([] { return poll(nullptr, 0, 2); }) != 0) ++interrupted;
                               ++calls;
                             }
                           })
                   .value();
  auto sleeps = runtime
                    ->TryGo({.name = "sleeps"},
                            [&] {
                              while (!stop) {
                                const timespec time = {.tv_sec = 0, .tv_nsec = 3'000'000};
                                if (Blocking([&] { return nanosleep(&time, nullptr); }) != 0)
                                  ++interrupted;
                              }
                            })
                    .value();
  int seen = 0;
  for (int i = 0; (i < 200 || seen == 0 || calls < 50) && i < 20'000; ++i) {
    const TaskProfile profile = CollectTaskProfile();
    ASSERT_EQ(profile.tasks.size(), 2u);
    const TaskRecord* task = Find(profile, "polls");
    ASSERT_NE(task, nullptr);
    const TaskGroup& group = profile.GroupOf(*task);
    if (group.status != TaskStatus::kBlocking) continue;
    ++seen;
    EXPECT_EQ(Labels::FromTag(profile.tags[group.tag]), labels);
    EXPECT_GE(profile.stacks[group.stack].size(), 3u);
    EXPECT_FALSE(group.truncated);
  }
  stop = true;
  polls.Join();
  sleeps.Join();
  EXPECT_GT(seen, 0);
  EXPECT_EQ(interrupted, 0);
}

// As Go's test of the same: (a) two requests at once, both of which see all.
TEST(TaskProfiler, TwoAtATime) {
  auto runtime = MakeRuntime();
  Parked parked;
  parked.Add(*runtime, 20, {.name = "parked"});
  AwaitParked(20);
  std::vector<JoinHandle<int>> requests;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(runtime
                           ->TryGo({.name = "request"},
                                   [] {
                                     int least = 1000;
                                     for (int j = 0; j < 10; ++j)
                                       least = std::min(least,
                                                        CountNamed(CollectTaskProfile(), "parked"));
                                     return least;
                                   })
                           .value());
  }
  for (auto& request : requests) EXPECT_EQ(request.Join(), 20);
}

// (d) Tasks are launched in the order of their numbers, while a chain of short-lived ones goes on:
// if a number appears, each lower one appears exactly once.
TEST(TaskProfiler, EachTaskOnceWhileOthersAreLaunched) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  std::atomic<bool> ended{false};
  std::function<void()> chain = [&] {
    if (stop) {
      ended = true;
    } else {
      Go({.name = "churn"}, chain).Detach();
    }
  };
  runtime->TryGo({.name = "churn"}, chain).value().Detach();
  for (int round = 0; round < kRounds; ++round) {
    Channel<int> end;
    constexpr int kLaunched = 50;
    std::atomic<int> launched{0};
    auto launcher = runtime
                        ->TryGo({.name = "launcher"},
                                [&] {
                                  std::vector<JoinHandle<void>> tasks;
                                  for (int i = 0; i < kLaunched; ++i) {
                                    tasks.push_back(Go({.name = absl::StrCat("numbered ", i)},
                                                       [&] { end.Receive(); }));
                                    launched = i + 1;
                                  }
                                  for (auto& task : tasks) task.Join();
                                })
                        .value();
    while (launched < round % kLaunched) std::this_thread::yield();
    const TaskProfile profile = CollectTaskProfile();
    std::map<int, int> seen;
    for (const TaskRecord& task : profile.tasks) {
      const std::string name = NameOf(profile, task);
      if (name.starts_with("numbered ")) ++seen[std::stoi(name.substr(9))];
    }
    int expected = 0;
    for (const auto& [number, times] : seen) {
      EXPECT_EQ(number, expected++);
      EXPECT_EQ(times, 1);
    }
    EXPECT_GE(expected, round % kLaunched);
    std::set<uint64_t> ids;
    for (const TaskRecord& task : profile.tasks) EXPECT_TRUE(ids.insert(task.id).second);
    for (int i = 0; i < kLaunched; ++i) end.Send(0);
    launcher.Join();
  }
  stop = true;
  while (!ended) std::this_thread::yield();
}

// As Go's TestGoroutineProfileCoro: control goes from one task to the other and back all the time.
TEST(TaskProfiler, TwoThatHandOverToEachOther) {
  auto runtime = MakeRuntime();
  Channel<int> there;
  Channel<int> back;
  auto one = runtime
                 ->TryGo({.name = "one"},
                         [&] {
                           while (there.Receive()) back.Send(1);
                         })
                 .value();
  std::atomic<bool> stop{false};
  auto two = runtime
                 ->TryGo({.name = "two"},
                         [&] {
                           while (!stop) {
                             there.Send(1);
                             back.Receive();
                           }
                           there.Close();
                         })
                 .value();
  for (int i = 0; i < 5 * kRounds; ++i) {
    const TaskProfile profile = internal::CollectTaskProfileHere({});
    ASSERT_EQ(profile.total, 2);
    for (const TaskGroup& group : profile.groups) EXPECT_FALSE(group.truncated);
  }
  stop = true;
  one.Join();
  two.Join();
}

// As Go's TestGoroutineProfileLabelRace.
TEST(TaskProfiler, LabelsChangeMeanwhile) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  auto changes = runtime
                     ->TryGo({.name = "changes"},
                             [&] {
                               for (int i = 0; !stop; ++i) {
                                 const ScopedLabels labels({{"loop", absl::StrCat(i)}});
                                 Yield();
                               }
                             })
                     .value();
  int seen = 0;
  for (int i = 0; seen < 10 && i < 10'000; ++i) {
    const TaskProfile profile = CollectTaskProfile();
    const TaskRecord* task = Find(profile, "changes");
    ASSERT_NE(task, nullptr);
    if (Labels::FromTag(profile.tags[profile.GroupOf(*task).tag]).Get("loop")) ++seen;
  }
  EXPECT_EQ(seen, 10);
  stop = true;
  changes.Join();
}

TEST(TaskProfiler, LabelledTasksComeAndGo) {
  auto runtime = MakeRuntime();
  std::atomic<bool> stop{false};
  std::atomic<int> alive{3};
  std::function<void(int)> churn = [&](int i) {
    SetLabels(Labels::Of({{"churn", absl::StrCat(i)}}));
    if (stop) {
      --alive;
    } else {
      Go({.name = "churn"}, [&churn, i] { churn(i + 1); }).Detach();
    }
  };
  for (int i = 0; i < 3; ++i) runtime->TryGo({.name = "churn"}, [&] { churn(0); }).value().Detach();
  for (int i = 0; i < kRounds; ++i) {
    const TaskProfile profile = CollectTaskProfile();
    for (const TaskGroup& group : profile.groups)
      (void)Labels::FromTag(profile.tags[group.tag]).ToString();
    EXPECT_GE(profile.total, 1);
  }
  stop = true;
  while (alive > 0) std::this_thread::yield();
}

// A dumper that stands still in the middle of its walk stands in nobody's way: all tasks run to
// their end meanwhile, and are in the profile all the same.
std::function<void()> g_in_pause;

TEST(TaskProfiler, ADelayedDumperStallsNobody) {
  auto runtime = MakeRuntime();
  constexpr int kTasks = 1500;
  Channel<int> channel;
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < kTasks; ++i) {
    tasks.push_back(runtime->TryGo({.name = "task"}, [&] { channel.Receive(); }).value());
  }
  AwaitParked(kTasks);
  bool paused = false;
  g_in_pause = [&] {
    if (std::exchange(paused, true)) return;
    for (int i = 0; i < kTasks; ++i) channel.Send(0);
    for (auto& task : tasks) task.Join();
    for (int i = 0; i < 100; ++i) runtime->TryGo({.name = "later"}, [] {}).value().Join();
  };
  const TaskProfile profile = internal::CollectTaskProfileHere({}, [] { g_in_pause(); });
  EXPECT_TRUE(paused);
  EXPECT_EQ(CountNamed(profile, "task"), kTasks);
  EXPECT_EQ(CountNamed(profile, "later"), 0);
}

TEST(TaskProfiler, SeveralRuntimesThatEnd) {
  std::atomic<bool> stop{false};
  std::thread dumper([&] {
    while (!stop) (void)CollectTaskProfile();
  });
  // On which some wait for ever: one a runtime, with whose stacks those in its queue go, and never
  // destroyed.
  static auto* const never = new std::vector<Channel<int>*>;
  for (int i = 0; i < kRounds / 4; ++i) {
    auto runtime = MakeRuntime();
    Channel<int>* const channel = never->emplace_back(new Channel<int>);
    for (int j = 0; j < 20; ++j) {
      runtime->TryGo({.name = "left"}, [channel] { channel->Receive(); }).value().Detach();
    }
    runtime->TryGo({}, [] { Yield(); }).value().Join();
  }
  stop = true;
  dumper.join();
  EXPECT_EQ(CollectTaskProfile().total, 0);
}

}  // namespace
}  // namespace curg
