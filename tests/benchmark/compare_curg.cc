// SPDX-License-Identifier: Apache-2.0
//
// The comparison's workloads on curg. The programs in peers/ do the same on other runtimes;
// README.md defines the workloads, compare.py runs them.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "labels/labels.h"
#include "runtime/blocking.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/wait_group.h"
#include "tests/benchmark/peers/measure.h"

namespace curg {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using peers::Arguments;
using peers::ReportPerOp;
using peers::Stretch;

constexpr int kBranches = 10;  // of the skynet tree

void YieldInTurn(int64_t tasks, int64_t ops) {
  std::vector<JoinHandle<void>> handles;
  handles.reserve(tasks);
  for (int64_t i = 0; i < tasks; ++i) {
    handles.push_back(Go([each = ops / tasks] {
      for (int64_t j = 0; j < each; ++j) Yield();
    }));
  }
  for (auto& handle : handles) handle.Join();
}

void PingPong(int64_t /*tasks*/, int64_t ops) {
  Channel<int64_t> ping;
  Channel<int64_t> pong;
  auto other = Go([&] {
    for (int64_t value : ping) pong.Send(value);
  });
  for (int64_t i = 0; i < ops; ++i) {
    ping.Send(i);
    (void)pong.Receive();
  }
  ping.Close();
  other.Join();
}

// `tasks` at a time.
void SpawnAndJoin(int64_t tasks, int64_t ops) {
  std::vector<JoinHandle<void>> batch(tasks);
  for (int64_t i = 0; i < ops; i += tasks) {
    for (auto& handle : batch) handle = Go([] {});
    for (auto& handle : batch) handle.Join();
  }
}

void SkynetChannels(Channel<int64_t>& parent, int64_t number, int64_t leaves) {
  if (leaves == 1) return parent.Send(number);
  Channel<int64_t> children;
  for (int64_t i = 0; i < kBranches; ++i) {
    const int64_t below = leaves / kBranches;
    Go([&children, first = number + i * below, below] {
      SkynetChannels(children, first, below);
    }).Detach();
  }
  int64_t sum = 0;
  for (int i = 0; i < kBranches; ++i) sum += *children.Receive();
  parent.Send(sum);
}

int64_t SkynetJoins(int64_t number, int64_t leaves) {
  if (leaves == 1) return number;
  JoinHandle<int64_t> children[kBranches];
  for (int64_t i = 0; i < kBranches; ++i) {
    const int64_t below = leaves / kBranches;
    children[i] = Go([first = number + i * below, below] { return SkynetJoins(first, below); });
  }
  int64_t sum = 0;
  for (auto& child : children) sum += child.Join();
  return sum;
}

void CheckSum(int64_t sum, int64_t leaves) {
  if (sum == leaves * (leaves - 1) / 2) return;
  std::fprintf(stderr, "wrong sum %lld\n", static_cast<long long>(sum));
  std::exit(1);
}

void SumOverChannels(int64_t leaves) {
  Channel<int64_t> result;
  Go([&] { SkynetChannels(result, 0, leaves); }).Detach();
  CheckSum(*result.Receive(), leaves);
}

void SumOverJoins(int64_t leaves) { CheckSum(SkynetJoins(0, leaves), leaves); }

void Contend(int64_t tasks, int64_t ops) {
  Mutex mutex;
  int64_t count = 0;
  std::vector<JoinHandle<void>> handles;
  for (int64_t i = 0; i < tasks; ++i) {
    handles.push_back(Go([&, each = ops / tasks] {
      for (int64_t j = 0; j < each; ++j) {
        mutex.lock();
        ++count;
        mutex.unlock();
      }
    }));
  }
  for (auto& handle : handles) handle.Join();
  if (count != ops / tasks * tasks) std::exit(1);
}

// Half of the tasks send, half receive.
void ManyToMany(int64_t tasks, int64_t ops) {
  const int64_t pairs = tasks / 2;
  Channel<int64_t> channel(128);
  std::vector<JoinHandle<void>> handles;
  for (int64_t i = 0; i < pairs; ++i) {
    handles.push_back(Go([&, each = ops / pairs] {
      for (int64_t j = 0; j < each; ++j) channel.Send(j);
    }));
    handles.push_back(Go([&, each = ops / pairs] {
      for (int64_t j = 0; j < each; ++j) (void)channel.Receive();
    }));
  }
  for (auto& handle : handles) handle.Join();
}

// Tasks that wait for a channel to be closed.
class Parked {
 public:
  // Returns when all of them wait.
  explicit Parked(int64_t tasks) : done_(static_cast<uint32_t>(tasks)) {
    if (tasks == 0) return;
    std::atomic<int64_t> to_come = tasks;
    Channel<bool> all_here(1);
    for (int64_t i = 0; i < tasks; ++i) {
      Go([this, &to_come, &all_here] {
        if (to_come.fetch_sub(1, std::memory_order_relaxed) == 1) all_here.Send(true);
        (void)gate_.Receive();
        done_.Done();
      }).Detach();
    }
    (void)all_here.Receive();
  }

  // Returns when all of them have ended.
  void Wake() {
    gate_.Close();
    done_.Wait();
  }

 private:
  Channel<bool> gate_;
  WaitGroup done_;
};

void MeasureParked(const Arguments& arguments) {
  const int64_t before = peers::ResidentBytes();
  Stretch create;
  Parked parked(arguments.tasks);
  create.Stop();
  const int64_t resident = peers::ResidentBytes() - before;
  Stretch wake;
  parked.Wake();
  wake.Stop();
  ReportPerOp("create", "ns/task", arguments.tasks, create);
  ReportPerOp("wake", "ns/task", arguments.tasks, wake);
  peers::Report("resident", "bytes/task",
                static_cast<double>(resident) / static_cast<double>(arguments.tasks), create);
}

void MeasureTimers(const Arguments& arguments) {
  Stretch stretch;
  WaitGroup done(static_cast<uint32_t>(arguments.tasks));
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    Go([&done, i, sleeps = arguments.ops] {
      for (int64_t j = 0; j < sleeps; ++j) SleepFor(peers::SleepTime(i, j));
      done.Done();
    }).Detach();
  }
  done.Wait();
  stretch.Stop();
  peers::Report("wall", "ms", static_cast<double>(stretch.wall_ns()) / 1e6, stretch);
  peers::Report("cpu", "ms", static_cast<double>(stretch.cpu_ns()) / 1e6, stretch);
}

// `body(tasks, ops)`, for a tenth of the operations first, then measured.
template <typename Body>
void MeasureOps(const Arguments& arguments, Body body) {
  Parked parked(arguments.live);
  body(arguments.tasks, std::max(arguments.ops / 10, arguments.tasks));
  Stretch stretch;
  body(arguments.tasks, arguments.ops);
  stretch.Stop();
  ReportPerOp("", "ns/op", arguments.ops, stretch);
  parked.Wake();
}

// `body(leaves)`, on a tenth of the leaves first. One operation: one leaf.
template <typename Body>
void MeasureTree(const Arguments& arguments, Body body) {
  Parked parked(arguments.live);
  body(arguments.tasks / kBranches);
  Stretch stretch;
  body(arguments.tasks);
  stretch.Stop();
  ReportPerOp("", "ns/leaf", arguments.tasks, stretch);
  parked.Wake();
}

// A task wakes another one and works on: how long until the other runs? With nothing else to do, so
// that an idle worker should take it; or beside `tasks` busy tasks for each worker.
void MeasureWakeLatency(const Arguments& arguments) {
  std::atomic<bool> over = false;
  std::vector<JoinHandle<void>> load;
  for (int64_t i = 0; i < arguments.tasks * arguments.workers; ++i) {
    load.push_back(Go([&over] {
      for (; !over.load(std::memory_order_relaxed); Yield()) peers::Burn(20us);
    }));
  }
  Channel<int64_t> sent_at(1024);
  auto woken = Go([&sent_at] {
    std::vector<int64_t> delays;
    for (int64_t sent : sent_at) delays.push_back(peers::NowNs() - sent);
    return delays;
  });
  Stretch stretch;
  for (int64_t i = 0; i < arguments.ops; ++i) {
    if (load.empty()) SleepFor(1ms);
    sent_at.Send(peers::NowNs());
    peers::Burn(load.empty() ? 500us : 20us);
    Yield();
  }
  sent_at.Close();
  stretch.Stop();
  peers::ReportDelays(woken.Join(), stretch);
  over = true;
  for (auto& handle : load) handle.Join();
}

// Each task makes its share of the calls, which block their thread, one after the other.
void CallBlocking(int64_t tasks, int64_t ops) {
  WaitGroup done;
  done.Add(tasks);
  for (int64_t i = 0; i < tasks; ++i) {
    Go([&done, calls = ops / tasks] {
      for (int64_t j = 0; j < calls; ++j) Blocking(&peers::BlockThread);
      done.Done();
    }).Detach();
  }
  done.Wait();
}

void MeasureBlocking(const Arguments& arguments) {
  CallBlocking(arguments.tasks, std::max(arguments.ops / 10, arguments.tasks));
  Stretch stretch;
  CallBlocking(arguments.tasks, arguments.ops);
  stretch.Stop();
  peers::ReportWallAndCpu(arguments.ops, stretch);
}

// What Blocking costs a call that comes back soon.
void MeasureShortCalls(int64_t ops) {
  peers::ReportExtra("call", ops, 1000, &peers::ShortCall, [] { Blocking(&peers::ShortCall); });
  peers::ReportExtra("10us", ops / 10, 20, &peers::TenMicroseconds,
                     [] { Blocking(&peers::TenMicroseconds); });
}

void Measure(const Arguments& arguments) {
  const std::string& workload = arguments.workload;
  if (arguments.labelled) SetLabels(Labels::Of({{"benchmark", "compare"}, {"workload", workload}}));
  if (workload == "yield") return MeasureOps(arguments, &YieldInTurn);
  if (workload == "ping_pong") return MeasureOps(arguments, &PingPong);
  if (workload == "spawn_join") return MeasureOps(arguments, &SpawnAndJoin);
  if (workload == "skynet_channels") return MeasureTree(arguments, &SumOverChannels);
  if (workload == "skynet_joins") return MeasureTree(arguments, &SumOverJoins);
  if (workload == "mutex") return MeasureOps(arguments, &Contend);
  if (workload == "mpmc") return MeasureOps(arguments, &ManyToMany);
  if (workload == "parked") return MeasureParked(arguments);
  if (workload == "timers") return MeasureTimers(arguments);
  if (workload == "blocking") return MeasureBlocking(arguments);
  if (workload == "blocking_short" || workload == "blocking_in_place")
    return MeasureShortCalls(arguments.ops);
  if (workload == "sleep")
    return peers::ReportOvershoots(arguments.ops, [](auto time) { SleepFor(time); });
  if (workload == "wake_latency") return MeasureWakeLatency(arguments);
  peers::UnknownWorkload(workload);
}

}  // namespace
}  // namespace curg

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
#ifndef NDEBUG
  std::fprintf(stderr, "curg is built without -c opt: these figures say nothing\n");
#endif
  if (arguments.workload == "version") {
    std::printf("gcc %s\n", __VERSION__);
    return 0;
  }
  return curg::Run({.workers = arguments.workers}, [&arguments] {
    curg::Measure(arguments);
    return 0;
  });
}
