// SPDX-License-Identifier: Apache-2.0
//
// What the machine itself takes for a step that some workloads cannot do without: the floors of the
// comparison. No runtime; plain threads.
#include <sys/mman.h>
#include <sys/prctl.h>

#include <boost/context/detail/fcontext.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/benchmark/peers/measure.h"

namespace peers {
namespace {

// Locking and unlocking with nobody else there: one compare-and-swap and one atomic store.
void MeasureCasAndStore(const Arguments& arguments) {
  std::atomic<uint32_t> word = 0;
  Stretch stretch;
  for (int64_t i = 0; i < arguments.ops; ++i) {
    uint32_t expected = 0;
    if (!word.compare_exchange_strong(expected, 1)) std::abort();
    word.store(0, std::memory_order_release);
  }
  stretch.Stop();
  ReportPerOp("", "ns/op", arguments.ops, stretch);
}

// A cache line goes from one CPU to another: half of a round trip. The least of many stretches,
// and limited in time, since it takes milliseconds while the two threads share a CPU.
void MeasureCacheLine(const Arguments& arguments) {
  constexpr int64_t kOver = -1;
  constexpr int64_t kStretch = 512;
  std::atomic<int64_t> turn = 0;  // even: ours, odd: the other's; relaxed: carries only itself
  std::thread other([&turn] {
    for (int64_t next = 1;;) {
      const int64_t now = turn.load(std::memory_order_relaxed);
      if (now == kOver) return;
      if (now != next) continue;
      turn.store(next + 1, std::memory_order_relaxed);
      next += 2;
    }
  });
  Stretch all;
  const int64_t end = NowNs() + 300'000'000;
  int64_t least_ns = std::numeric_limits<int64_t>::max();
  for (int64_t done = 0, now = NowNs(); done < arguments.ops && now < end;) {
    const int64_t start = now;
    for (const int64_t until = done + kStretch; done < until;) {
      turn.store(done + 1, std::memory_order_relaxed);
      done += 2;
      while (turn.load(std::memory_order_relaxed) != done) {
      }
    }
    now = NowNs();
    least_ns = std::min(least_ns, now - start);
  }
  all.Stop();
  turn.store(kOver, std::memory_order_relaxed);
  other.join();
  Report("", "ns/op", static_cast<double>(least_ns) / kStretch, all);
}

// Blocking calls on a plain thread pool: each of `tasks` threads posts a call, and waits until one
// of as many pool threads has made it.
class ThreadPool {
 public:
  explicit ThreadPool(int64_t threads) {
    for (int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ThreadPool() {
    {
      std::lock_guard lock(lock_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Call(std::function<void()> fn) {
    std::promise<void> done;
    {
      std::lock_guard lock(lock_);
      calls_.push_back([&] {
        fn();
        done.set_value();
      });
    }
    changed_.notify_one();
    done.get_future().wait();
  }

 private:
  void Work() {
    std::unique_lock lock(lock_);
    while (true) {
      changed_.wait(lock, [this] { return ended_ || !calls_.empty(); });
      if (calls_.empty()) return;
      const std::function<void()> call = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      call();
      lock.lock();
    }
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> calls_;  // guarded by lock_
  bool ended_ = false;                       // guarded by lock_
  std::vector<std::thread> threads_;
};

template <typename Call>
void MeasureCalls(const Arguments& arguments, Call call) {
  Stretch stretch;
  std::vector<std::thread> callers;
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    callers.emplace_back([&] {
      for (int64_t j = 0; j < arguments.ops / arguments.tasks; ++j) call();
    });
  }
  for (std::thread& caller : callers) caller.join();
  stretch.Stop();
  ReportWallAndCpu(arguments.ops, stretch);
}

void MeasureThreadPool(const Arguments& arguments) {
  ThreadPool pool(arguments.tasks);
  MeasureCalls(arguments, [&] { pool.Call(&BlockThread); });
}

// The bare calls, each task's on a thread of its own.
void MeasureBareCalls(const Arguments& arguments) { MeasureCalls(arguments, &BlockThread); }

// The kernel's own sleep, without the slack of 50 us that threads have by default.
void MeasureNanosleep(const Arguments& arguments) {
  prctl(PR_SET_TIMERSLACK, 1);
  ReportOvershoots(arguments.ops, [](std::chrono::microseconds time) {
    const timespec left = {.tv_sec = 0, .tv_nsec = time.count() * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &left, nullptr);
  });
}

// Address space for stacks, of small pages only.
char* Reserve(size_t size) {
  void* const mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  madvise(mapping, size, MADV_NOHUGEPAGE);
  return static_cast<char*>(mapping);
}

namespace fcontext = boost::context::detail;

// Stacks, of which one leads to the next by Boost.Context's bare switch.
class Ring {
 public:
  explicit Ring(int64_t stacks) {
    memory_ = Reserve(kApart * static_cast<size_t>(stacks));
    for (int64_t i = 0; i < stacks; ++i) next_.push_back(Begin(i));
  }

  // Goes through the ring until there were so many switches. Once.
  void Go(int64_t switches) {
    left_ = switches;
    fcontext::jump_fcontext(next_[0], this);
  }

 private:
  // No power of two, and hot ends at several places of a page: else they share a few sets of the
  // caches.
  static constexpr size_t kApart = (size_t{256} + 4) << 10;

  fcontext::fcontext_t Begin(int64_t index) {
    char* const low = memory_ + kApart * static_cast<size_t>(index);
    const size_t size = kApart - static_cast<size_t>(index) % 16 * 128;
    return fcontext::make_fcontext(low + size, size, &Run);
  }

  // On each of the stacks: keeps where the one goes on that has just left, and leaves for the next.
  static void Run(fcontext::transfer_t from) {
    auto& ring = *static_cast<Ring*>(from.data);
    while (true) {
      *ring.leaver_ = from.fctx;
      ring.leaver_ = &ring.next_[ring.at_];
      if (++ring.at_ == ring.next_.size()) ring.at_ = 0;
      from = fcontext::jump_fcontext(--ring.left_ > 0 ? ring.next_[ring.at_] : ring.caller_, &ring);
    }
  }

  char* memory_;
  std::vector<fcontext::fcontext_t> next_;  // where each stack goes on
  fcontext::fcontext_t caller_ = nullptr;
  fcontext::fcontext_t* leaver_ = &caller_;  // whose place this is has just left, or is about to
  size_t at_ = 0;                            // the stack that runs
  int64_t left_ = 0;
};

// Switching through as many stacks as there are tasks, in turn; or, for a round trip between two,
// there and back: what a stackful runtime cannot do without.
void MeasureSwitches(const Arguments& arguments, int64_t stacks, int64_t each) {
  Ring ring(stacks);
  Stretch stretch;
  ring.Go(arguments.ops * each);
  stretch.Stop();
  ReportPerOp("", "ns/op", arguments.ops, stretch);
}

// The first write to a page of a new mapping; its neighbours are not touched, as those at the tops
// of stacks are no neighbours.
void MeasureFirstTouch(const Arguments& arguments) {
  constexpr size_t kApart = size_t{256} << 10;
  volatile char* const mapping = Reserve(kApart * static_cast<size_t>(arguments.tasks));
  const int64_t before = ResidentBytes();
  Stretch stretch;
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    mapping[static_cast<size_t>(i) * kApart] = 1;
  }
  stretch.Stop();
  const auto resident = static_cast<double>(ResidentBytes() - before);
  ReportPerOp("create", "ns/task", arguments.tasks, stretch);
  Report("resident", "bytes/task", resident / static_cast<double>(arguments.tasks), stretch);
}

// The longest chain of sleeps.
void ReportLongestChain(const Arguments& arguments) {
  std::chrono::microseconds longest(0);
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    std::chrono::microseconds chain(0);
    for (int64_t j = 0; j < arguments.ops; ++j) chain += SleepTime(i, j);
    longest = std::max(longest, chain);
  }
  Report("wall", "ms", static_cast<double>(longest.count()) / 1e3, Stretch());
}

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  if (arguments.workload == "cas_and_store") {
    peers::MeasureCasAndStore(arguments);
  } else if (arguments.workload == "thread_pool") {
    peers::MeasureThreadPool(arguments);
  } else if (arguments.workload == "bare_calls") {
    peers::MeasureBareCalls(arguments);
  } else if (arguments.workload == "cache_line") {
    peers::MeasureCacheLine(arguments);
  } else if (arguments.workload == "switch") {
    peers::MeasureSwitches(arguments, arguments.tasks, 1);
  } else if (arguments.workload == "two_switches") {
    peers::MeasureSwitches(arguments, 2, 2);
  } else if (arguments.workload == "first_touch") {
    peers::MeasureFirstTouch(arguments);
  } else if (arguments.workload == "nanosleep") {
    peers::MeasureNanosleep(arguments);
  } else if (arguments.workload == "longest_chain") {
    peers::ReportLongestChain(arguments);
  } else {
    peers::UnknownWorkload(arguments.workload);
  }
  return 0;
}
