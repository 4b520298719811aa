// SPDX-License-Identifier: Apache-2.0
//
// The comparison's workloads on Boost.Fiber: work stealing, or round robin on one thread; default
// stacks, from a heap that keeps its memory. ../../README.md defines the workloads.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/benchmark/peers/measure.h"

namespace peers {
namespace {

namespace fibers = boost::fibers;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

using Channel = fibers::unbuffered_channel<int64_t>;

constexpr int kBranches = 10;  // of the skynet tree

// What others wait for until it has been counted down to nothing.
class CountDown {
 public:
  explicit CountDown(int64_t count) : count_(count) {}

  void Done() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::unique_lock lock(mutex_);
    zero_ = true;
    changed_.notify_all();
  }

  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return zero_; });
  }

 private:
  std::atomic<int64_t> count_;
  fibers::mutex mutex_;
  fibers::condition_variable changed_;
  bool zero_ = false;
};

void YieldInTurn(int64_t tasks, int64_t ops) {
  std::vector<fibers::fiber> handles;
  for (int64_t i = 0; i < tasks; ++i) {
    handles.emplace_back([each = ops / tasks] {
      for (int64_t j = 0; j < each; ++j) boost::this_fiber::yield();
    });
  }
  for (auto& handle : handles) handle.join();
}

void PingPong(int64_t /*tasks*/, int64_t ops) {
  Channel ping;
  Channel pong;
  fibers::fiber other([&] {
    int64_t value;
    while (ping.pop(value) == fibers::channel_op_status::success) pong.push(value);
  });
  int64_t value;
  for (int64_t i = 0; i < ops; ++i) {
    ping.push(i);
    pong.pop(value);
  }
  ping.close();
  other.join();
}

void SpawnAndJoin(int64_t tasks, int64_t ops) {
  std::vector<fibers::fiber> batch(tasks);
  for (int64_t i = 0; i < ops; i += tasks) {
    for (auto& handle : batch) handle = fibers::fiber([] {});
    for (auto& handle : batch) handle.join();
  }
}

void SkynetChannels(Channel& parent, int64_t number, int64_t leaves) {
  if (leaves == 1) {
    parent.push(number);
    return;
  }
  // The last sender may still be inside when its value has arrived: the channel lives on with it.
  auto children = std::make_shared<Channel>();
  for (int64_t i = 0; i < kBranches; ++i) {
    const int64_t below = leaves / kBranches;
    fibers::fiber([children, first = number + i * below, below] {
      SkynetChannels(*children, first, below);
    }).detach();
  }
  int64_t sum = 0;
  for (int i = 0; i < kBranches; ++i) sum += children->value_pop();
  parent.push(sum);
}

void SkynetJoins(int64_t number, int64_t leaves, int64_t* result) {
  if (leaves == 1) {
    *result = number;
    return;
  }
  fibers::fiber children[kBranches];
  int64_t sums[kBranches];
  for (int64_t i = 0; i < kBranches; ++i) {
    const int64_t below = leaves / kBranches;
    children[i] = fibers::fiber(
        [first = number + i * below, below, sum = &sums[i]] { SkynetJoins(first, below, sum); });
  }
  *result = 0;
  for (int64_t i = 0; i < kBranches; ++i) {
    children[i].join();
    *result += sums[i];
  }
}

void CheckSum(int64_t sum, int64_t leaves) {
  if (sum == leaves * (leaves - 1) / 2) return;
  std::fprintf(stderr, "wrong sum %lld\n", static_cast<long long>(sum));
  std::exit(1);
}

void SumOverChannels(int64_t leaves) {
  auto result = std::make_shared<Channel>();
  fibers::fiber([result, leaves] { SkynetChannels(*result, 0, leaves); }).detach();
  CheckSum(result->value_pop(), leaves);
}

void SumOverJoins(int64_t leaves) {
  int64_t sum = 0;
  SkynetJoins(0, leaves, &sum);
  CheckSum(sum, leaves);
}

void Contend(int64_t tasks, int64_t ops) {
  fibers::mutex mutex;
  int64_t count = 0;
  std::vector<fibers::fiber> handles;
  for (int64_t i = 0; i < tasks; ++i) {
    handles.emplace_back([&, each = ops / tasks] {
      for (int64_t j = 0; j < each; ++j) {
        mutex.lock();
        ++count;
        mutex.unlock();
      }
    });
  }
  for (auto& handle : handles) handle.join();
  if (count != ops / tasks * tasks) std::exit(1);
}

void ManyToMany(int64_t tasks, int64_t ops) {
  const int64_t pairs = tasks / 2;
  fibers::buffered_channel<int64_t> channel(128);
  std::vector<fibers::fiber> handles;
  for (int64_t i = 0; i < pairs; ++i) {
    handles.emplace_back([&, each = ops / pairs] {
      for (int64_t j = 0; j < each; ++j) channel.push(j);
    });
    handles.emplace_back([&, each = ops / pairs] {
      int64_t value;
      for (int64_t j = 0; j < each; ++j) channel.pop(value);
    });
  }
  for (auto& handle : handles) handle.join();
}

// Tasks that wait for a channel to be closed.
class Parked {
 public:
  explicit Parked(int64_t tasks) : tasks_(tasks), here_(tasks), done_(tasks) {
    for (int64_t i = 0; i < tasks; ++i) {
      fibers::fiber([this] {
        here_.Done();
        int64_t value;
        gate_.pop(value);
        done_.Done();
      }).detach();
    }
    if (tasks > 0) here_.Wait();
  }

  void Wake() {
    gate_.close();
    if (tasks_ > 0) done_.Wait();
  }

 private:
  const int64_t tasks_;
  Channel gate_;
  CountDown here_;
  CountDown done_;
};

void MeasureParked(const Arguments& arguments) {
  const int64_t before = ResidentBytes();
  Stretch create;
  Parked parked(arguments.tasks);
  create.Stop();
  const int64_t resident = ResidentBytes() - before;
  Stretch wake;
  parked.Wake();
  wake.Stop();
  ReportPerOp("create", "ns/task", arguments.tasks, create);
  ReportPerOp("wake", "ns/task", arguments.tasks, wake);
  Report("resident", "bytes/task",
         static_cast<double>(resident) / static_cast<double>(arguments.tasks), create);
}

void MeasureTimers(const Arguments& arguments) {
  Stretch stretch;
  CountDown done(arguments.tasks);
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    fibers::fiber([&done, i, sleeps = arguments.ops] {
      for (int64_t j = 0; j < sleeps; ++j) boost::this_fiber::sleep_for(SleepTime(i, j));
      done.Done();
    }).detach();
  }
  done.Wait();
  stretch.Stop();
  Report("wall", "ms", static_cast<double>(stretch.wall_ns()) / 1e6, stretch);
  Report("cpu", "ms", static_cast<double>(stretch.cpu_ns()) / 1e6, stretch);
}

void MeasureWakeLatency(const Arguments& arguments) {
  std::atomic<bool> over = false;
  std::vector<fibers::fiber> load;
  for (int64_t i = 0; i < arguments.tasks * arguments.workers; ++i) {
    load.emplace_back([&over] {
      for (; !over.load(std::memory_order_relaxed); boost::this_fiber::yield()) Burn(20us);
    });
  }
  fibers::buffered_channel<int64_t> sent_at(1024);
  std::vector<int64_t> delays;
  fibers::fiber woken([&] {
    int64_t sent;
    while (sent_at.pop(sent) == fibers::channel_op_status::success)
      delays.push_back(NowNs() - sent);
  });
  Stretch stretch;
  for (int64_t i = 0; i < arguments.ops; ++i) {
    if (load.empty()) boost::this_fiber::sleep_for(1ms);
    sent_at.push(NowNs());
    Burn(load.empty() ? 500us : 20us);
    boost::this_fiber::yield();
  }
  sent_at.close();
  stretch.Stop();
  woken.join();
  ReportDelays(delays, stretch);
  over = true;
  for (auto& handle : load) handle.join();
}

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

void Measure(const Arguments& arguments) {
  const std::string& workload = arguments.workload;
  if (workload == "yield") return MeasureOps(arguments, &YieldInTurn);
  if (workload == "ping_pong") return MeasureOps(arguments, &PingPong);
  if (workload == "spawn_join") return MeasureOps(arguments, &SpawnAndJoin);
  if (workload == "skynet_channels") return MeasureTree(arguments, &SumOverChannels);
  if (workload == "skynet_joins") return MeasureTree(arguments, &SumOverJoins);
  if (workload == "mutex") return MeasureOps(arguments, &Contend);
  if (workload == "mpmc") return MeasureOps(arguments, &ManyToMany);
  if (workload == "parked") return MeasureParked(arguments);
  if (workload == "timers") return MeasureTimers(arguments);
  if (workload == "sleep")
    return ReportOvershoots(arguments.ops, [](auto time) { boost::this_fiber::sleep_for(time); });
  if (workload == "wake_latency") return MeasureWakeLatency(arguments);
  UnknownWorkload(workload);
}

void RunOnWorkers(const Arguments& arguments) {
  CountDown end(1);
  // Without `suspend`, as is the default: a thread that it suspended is not told of new work, and
  // so all of it stays on one thread.
  const auto join_in = [workers = static_cast<uint32_t>(arguments.workers)] {
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < arguments.workers; ++i) {
    threads.emplace_back([&] {
      join_in();
      end.Wait();
    });
  }
  join_in();
  fibers::fiber([&] { Measure(arguments); }).join();
  end.Done();
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  if (arguments.workload == "version") {
    std::printf("Boost %s\n", BOOST_LIB_VERSION);
    return 0;
  }
  // Else glibc gives the memory of ended tasks' stacks back to the system and takes it again.
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  if (arguments.workers > 1) {
    peers::RunOnWorkers(arguments);
  } else {
    boost::fibers::fiber([&] { peers::Measure(arguments); }).join();
  }
  return 0;
}
