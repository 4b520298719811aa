// SPDX-License-Identifier: Apache-2.0
//
// Timers, signals and the handler on real threads; the buffers are read directly.
#include "profiler/sampler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/cpu_timer.h"
#include "profiler/perf_event.h"
#include "profiler/proc_self.h"
#include "profiler/sigprof.h"
#include "runtime/thread_registry.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;

struct Sums {
  int64_t buffers = 0;
  int64_t samples = 0;
  int64_t weight = 0;  // nanoseconds
  std::map<pid_t, int64_t> of_thread;
  int64_t lost = 0;
  int64_t foreign = 0;  // samples
  int64_t periods_max = 0;
};

// Reads and weighs what there is.
Sums DrainAll() {
  Sums sums;
  Sampler::Get().ForEachThread([&sums](ThreadSampler& thread, bool ended) {
    ++sums.buffers;
    ProfHeader header;
    std::span<const uintptr_t> pcs;
    int64_t nominal = 0;
    while (thread.buffer->Read(header, pcs)) {
      nominal += header.periods * thread.period;
      if (header.kind == SampleKind::kLost) {
        sums.lost += header.samples;
        continue;
      }
      sums.samples += header.samples;
      sums.periods_max = std::max(sums.periods_max, header.periods);
      if (header.kind == SampleKind::kForeign) sums.foreign += header.samples;
      if (header.tag != nullptr) header.tag->Unref();
    }
    const int64_t weight = thread.credit.Give(nominal, Sampler::Get().CountOf(thread), ended);
    sums.weight += weight;
    sums.of_thread[thread.tid] += weight;
  });
  return sums;
}

void Add(Sums& sums, const Sums& more) {
  sums.samples += more.samples;
  sums.weight += more.weight;
  for (const auto& [tid, weight] : more.of_thread) sums.of_thread[tid] += weight;
  sums.lost += more.lost;
  sums.foreign += more.foreign;
}

void BlockSigprof(bool block) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPROF);
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

// Runs `measure(cpu)`, which tells whether its result was right, with twice the CPU each time until
// it is: a loaded machine blurs a short measurement.
template <typename Fn>
bool RetryLonger(Fn measure) {
  for (milliseconds cpu : {milliseconds(200), milliseconds(400), milliseconds(800),
                           milliseconds(1600), milliseconds(3200)}) {
    if (measure(cpu)) return true;
  }
  return false;
}

class SamplerTest : public testing::Test {
 protected:
  // Nothing armed, nothing held, nothing left behind.
  void TearDown() override {
    Sampler::Get().Stop();
    DrainAll();
    EXPECT_EQ(DrainAll().buffers, 0);
  }

  void Start(int64_t period_ns = 1'000'000, CpuEngine engine = CpuEngine::kTimer) {
    const absl::Status status =
        Sampler::Get().Start({.period_ns = period_ns, .depth_max = 128, .engine = engine});
    ASSERT_TRUE(status.ok()) << status;
  }
};

// What must hold whatever makes the signals come.
class EveryEngine : public SamplerTest, public testing::WithParamInterface<CpuEngine> {
 protected:
  void SetUp() override {
    if (GetParam() == CpuEngine::kTimer) return;
    const auto tried = NewPerfEvent(GetParam(), gettid(), 0, 1'000'000, 1 << 20);
    if (!tried.ok()) GTEST_SKIP() << tried.status();
  }

  void Start(int64_t period_ns = 1'000'000) { SamplerTest::Start(period_ns, GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Sampler, EveryEngine,
                         testing::Values(CpuEngine::kTimer, CpuEngine::kPerf, CpuEngine::kPerfUser),
                         [](const auto& info) {
                           std::string name = EngineName(info.param);
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(EveryEngine, CreditsAThreadsCpuTime) {
  EXPECT_TRUE(RetryLonger([this](milliseconds cpu) {
    Start();
    const std::chrono::nanoseconds before = ThreadCpu();
    BurnCpu(cpu);
    const std::chrono::nanoseconds used = ThreadCpu() - before;
    Sampler::Get().Stop();
    const Sums sums = DrainAll();
    EXPECT_EQ(sums.lost, 0);
    const double share = static_cast<double>(sums.weight) / static_cast<double>(used.count());
    return share > 0.95 && share < 1.05;
  }));
}

TEST_P(EveryEngine, WritesNothingAfterStop) {
  Start();
  EXPECT_TRUE(BurnCpuUntil([] { return DrainAll().samples > 0; }));
  Sampler::Get().Stop();
  DrainAll();
  BurnCpu(milliseconds(50));
  const Sums sums = DrainAll();
  EXPECT_EQ(sums.buffers, 0);
  EXPECT_EQ(sums.samples, 0);
}

// A signal that waited stands for all the periods it waited.
TEST_F(SamplerTest, WeighsSamplesByTheirOverruns) {
  Start();
  BlockSigprof(true);
  DrainAll();
  const std::chrono::nanoseconds before = ThreadCpu();
  BurnCpu(milliseconds(100));
  const int64_t periods = (ThreadCpu() - before) / milliseconds(1);
  BlockSigprof(false);
  Sampler::Get().Stop();
  const Sums sums = DrainAll();
  EXPECT_GE(sums.periods_max, periods - 10);
  EXPECT_LE(sums.periods_max, periods + 10);
}

// At 100 Hz most of these threads live less than a period; a fixed first expiry would miss nearly
// all.
TEST_F(SamplerTest, FirstExpiryIsRandom) {
  Start(10'000'000);
  Sums sums;
  int64_t periods = 0;
  // The kernel's tick costs each thread its last part tick, and more on a machine with other work:
  // then it takes more of them to tell.
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 200; ++i) {
      std::thread([] {
        const ScopedKnownThread known(ThreadKind::kWorker);
        BurnCpu(milliseconds(8));
      }).join();
      Add(sums, DrainAll());
    }
    periods += 160;  // the worth of their CPU time
    const int64_t of_known = sums.samples - sums.foreign;
    if (of_known > periods / 2 && of_known < periods * 3 / 2) break;
  }
  Sampler::Get().Stop();
  Add(sums, DrainAll());
  const int64_t of_known = sums.samples - sums.foreign;
  EXPECT_GT(of_known, periods * 3 / 8);
  EXPECT_LT(of_known, periods * 3 / 2);
}

TEST_F(SamplerTest, IgnoresStaleSignals) {
  Start();
  BurnCpu(milliseconds(20));
  Sampler::Get().Stop();
  DrainAll();
  // Tickets of armings that are over, and of records that never were.
  for (const uint64_t ticket :
       {ThreadSamplerTable::Ticket(0, 0), ThreadSamplerTable::Ticket(65535, 1)}) {
    const int64_t before = StaleSigprofs();
    const absl::StatusOr<std::unique_ptr<SampleSource>> timer = NewCpuTimer(gettid(), ticket);
    ASSERT_TRUE(timer.ok());
    (*timer)->Start(1, 1'000'000);
    EXPECT_TRUE(BurnCpuUntil([before] { return StaleSigprofs() - before >= 2; }));
  }
  EXPECT_EQ(DrainAll().buffers, 0);
}

TEST_F(SamplerTest, GoesOnWithoutThreadsWhoseTimerIsRefused) {
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_SIGPENDING, &old), 0);
  const rlimit none = {0, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
  Start();
  BurnCpu(milliseconds(20));
  ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &old), 0);
  Sampler::Get().ScanThreads();
  const SamplerCounts counts = Sampler::Get().counts();
  Sampler::Get().Stop();
  EXPECT_EQ(counts.threads, 0);
  EXPECT_GE(counts.threads_refused, 1);  // once each, however often they are looked at
  EXPECT_NE(counts.refusal.find("RLIMIT_SIGPENDING"), std::string::npos) << counts.refusal;
  EXPECT_EQ(DrainAll().samples, 0);
}

TEST_P(EveryEngine, ArmsForeignThreadsThatBeginLater) {
  Start();
  std::atomic<bool> done{false};
  std::chrono::nanoseconds used{0};
  pid_t tid = 0;
  std::thread foreign([&] {
    tid = gettid();
    BurnCpu(milliseconds(100));  // before anybody knows of it
    Sampler::Get().ScanThreads();
    BurnCpu(milliseconds(100));
    used = ThreadCpu();
    done = true;
    while (done) usleep(1000);
  });
  while (!done) usleep(1000);
  Sampler::Get().Stop();
  done = false;
  foreign.join();
  Sums sums = DrainAll();
  const double share = static_cast<double>(sums.of_thread[tid]) / static_cast<double>(used.count());
  EXPECT_GT(share, 0.9);
  EXPECT_LT(share, 1.25);  // it used a little afterwards, too
}

TEST_P(EveryEngine, ForgetsForeignThreadsThatEnd) {
  Start();
  pid_t tid = 0;
  std::thread([&tid] {
    tid = gettid();
    Sampler::Get().ScanThreads();
    BurnCpu(milliseconds(30));
  }).join();
  EXPECT_GE(DrainAll().buffers, 2);
  const auto listed = [tid] {
    const std::vector<pid_t> all = ReadThreadIds().value();
    return std::binary_search(all.begin(), all.end(), tid);
  };
  while (listed()) usleep(1000);  // the kernel forgets a thread a moment after it was joined
  Sampler::Get().ScanThreads();   // disarms it
  DrainAll();                     // frees its buffer
  const int64_t threads = Sampler::Get().counts().threads;
  Sampler::Get().ScanThreads();
  EXPECT_EQ(Sampler::Get().counts().threads, threads);
  EXPECT_EQ(DrainAll().buffers, static_cast<int64_t>(ReadThreadIds().value().size()));
}

// Threads that hand over to each other as fast as they can are not held up by perf events.
TEST_F(SamplerTest, ThreadsThatSwitchTooOftenGetTimers) {
  if (!NewPerfEvent(CpuEngine::kPerf, gettid(), 0, 1'000'000, 1 << 20).ok()) GTEST_SKIP();
  std::string last;
  EXPECT_TRUE(RetryLonger([this, &last](milliseconds time) {
    Start(10'000'000, CpuEngine::kAuto);
    const std::chrono::nanoseconds before = CpuClock(CLOCK_PROCESS_CPUTIME_ID);
    int to[2];
    int back[2];
    EXPECT_EQ(pipe(to) + pipe(back), 0);
    std::thread echo([&] {
      char byte;
      while (read(to[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
      }
    });
    std::atomic<bool> done{false};
    std::thread busy([&done] {
      while (!done) BurnCpu(milliseconds(1));
    });
    std::thread call([&] {
      char byte = 0;
      while (!done && write(to[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1) {
      }
      close(to[1]);
    });
    Sums sums;
    const auto end = std::chrono::steady_clock::now() + 3 * time;
    while (std::chrono::steady_clock::now() < end) {
      usleep(20'000);
      Add(sums, DrainAll());
      Sampler::Get().ScanThreads();
    }
    done = true;
    for (std::thread* thread : {&echo, &busy, &call}) thread->join();
    for (const int fd : {to[0], back[0], back[1]}) close(fd);
    const SamplerCounts counts = Sampler::Get().counts();
    Sampler::Get().Stop();
    Add(sums, DrainAll());
    const auto used = static_cast<double>((CpuClock(CLOCK_PROCESS_CPUTIME_ID) - before).count());
    const double share = static_cast<double>(sums.weight) / used;
    last = counts.engine + "; " + counts.fallback + " Share: " + std::to_string(share);
    // The third may be interrupted so often by the two that it gets a timer, too.
    const std::string timers = "posix-cpu-timer (";
    return share > 0.95 && share < 1.05 &&
           (counts.engine.find(timers + "2 threads)") != std::string::npos ||
            counts.engine.find(timers + "3 threads)") != std::string::npos) &&
           counts.engine.find("perf-task-clock (") != std::string::npos &&
           counts.fallback.find("put on a CPU so often") != std::string::npos;
  })) << last;
}

// The writer may be kept from its CPU for a while, as every thread.
TEST_P(EveryEngine, LosesNothingWhileNobodyReads) {
  Start();
  BurnCpu(milliseconds(20));
  Sampler::Get().FindUnknownStacks();  // so that there are stacks, and not only leaves
  BurnCpuDeep(124, milliseconds(180));
  Sampler::Get().Stop();
  const Sums sums = DrainAll();
  EXPECT_EQ(sums.lost, 0);
  EXPECT_GT(sums.samples, 15);
}

// A thread that becomes known, is foreign before and after: one timer at any time.
TEST_P(EveryEngine, CountsNoThreadTwice) {
  EXPECT_TRUE(RetryLonger([this](milliseconds cpu) {
    Start();
    Sums sums;
    std::chrono::nanoseconds used{0};
    pid_t tid = 0;
    std::atomic<bool> done{false};
    std::mutex writer;  // who scans and drains
    const auto scan = [&writer] {
      const std::lock_guard lock(writer);
      Sampler::Get().ScanThreads();
    };
    std::thread changing([&] {
      tid = gettid();
      const std::chrono::nanoseconds before = ThreadCpu();
      scan();
      BurnCpu(cpu / 4);
      {
        const ScopedKnownThread known(ThreadKind::kWorker);
        scan();
        BurnCpu(cpu / 2);
      }
      BlockSigprof(false);  // known threads end with it blocked; this one lives on
      for (int i = 0; i < 3; ++i) scan();
      BurnCpu(cpu / 4);
      used = ThreadCpu() - before;
      done = true;
    });
    while (!done) {
      usleep(5000);
      const std::lock_guard lock(writer);
      Add(sums, DrainAll());
    }
    changing.join();
    Sampler::Get().Stop();
    Add(sums, DrainAll());
    const double share =
        static_cast<double>(sums.of_thread[tid]) / static_cast<double>(used.count());
    return share > 0.93 && share < 1.07;
  }));
}

TEST_P(EveryEngine, SurvivesThreadsThatComeAndGo) {
  Start();
  std::vector<std::thread> spawners;
  std::atomic<bool> done{false};
  for (int i = 0; i < 4; ++i) {
    spawners.emplace_back([i] {
      for (int n = 0; n < 100; ++n) {
        std::thread([i] {
          if (i % 2 == 0) {
            const ScopedKnownThread known(ThreadKind::kWorker);
            BurnCpu(std::chrono::microseconds(700));
          } else {
            BurnCpu(std::chrono::microseconds(700));
          }
        }).join();
      }
    });
  }
  std::thread writer([&done] {
    while (!done) {
      Sampler::Get().ScanThreads();
      DrainAll();
      usleep(500);
    }
  });
  for (std::thread& spawner : spawners) spawner.join();
  done = true;
  writer.join();
  EXPECT_GE(Sampler::Get().counts().threads, 200);
}

// ---- Signals that are not the profiler's.

std::atomic<int> foreign_signals{0};

void CountWithInfo(int, siginfo_t* info, void*) {
  if (info->si_code == SI_TKILL) ++foreign_signals;
}
void CountPlain(int) { ++foreign_signals; }

TEST_F(SamplerTest, IgnoresForeignSignalsOfNobody) {
  ASSERT_TRUE(InstallSigprof().ok());
  raise(SIGPROF);
  kill(getpid(), SIGPROF);
}

TEST_F(SamplerTest, PassesForeignSignalsOn) {
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = &CountWithInfo;
  ASSERT_EQ(sigaction(SIGPROF, &action, nullptr), 0);
  ASSERT_TRUE(InstallSigprof().ok());
  ASSERT_TRUE(InstallSigprof().ok());  // once is enough: ours must not become its own predecessor
  foreign_signals = 0;
  raise(SIGPROF);
  EXPECT_EQ(foreign_signals, 1);

  signal(SIGPROF, &CountPlain);
  ASSERT_TRUE(InstallSigprof().ok());
  raise(SIGPROF);
  EXPECT_EQ(foreign_signals, 2);

  // Ours go nowhere else.
  Start();
  EXPECT_TRUE(BurnCpuUntil([] { return DrainAll().samples > 0; }));
  Sampler::Get().Stop();
  EXPECT_EQ(foreign_signals, 2);
  SetSigprofPrevious({});
}

struct sigaction before_chained;
void Chained(int signal, siginfo_t* info, void* context) {
  ++foreign_signals;
  before_chained.sa_sigaction(signal, info, context);
}

// Another library installs itself after us and passes on to us, and we come back to it.
TEST_F(SamplerTest, DoesNotGoRoundWithAHandlerThatChainsToUs) {
  ASSERT_TRUE(InstallSigprof().ok());
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = &Chained;
  ASSERT_EQ(sigaction(SIGPROF, &action, &before_chained), 0);
  ASSERT_TRUE(InstallSigprof().ok());
  foreign_signals = 0;
  raise(SIGPROF);
  EXPECT_EQ(foreign_signals, 1);
  SetSigprofPrevious({});
}

TEST_P(EveryEngine, KeepsErrno) {
  Start();
  errno = 0;
  for (const auto end = ThreadCpu() + milliseconds(50); ThreadCpu() < end;) {
    errno = 4242;
    BurnCpu(std::chrono::microseconds(500));
    ASSERT_EQ(errno, 4242);
  }
}

}  // namespace
}  // namespace curg::internal
