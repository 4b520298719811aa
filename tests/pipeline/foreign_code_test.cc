// SPDX-License-Identifier: Apache-2.0
//
// Code that is not the tasks' own, under real signals: Boost.Asio's handlers, which run on a worker
// without a task; system calls that a signal may interrupt (Go's TestEINTR); programs that are
// executed, which must not inherit blocked signals or timers (TestCgoExecSignalMask).
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "runtime/io/use_task.h"
#include "tests/pipeline/hog.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// What a profile says of HogA, by whose it is.
struct OfHogA {
  int64_t tasks_with_label = 0;
  int64_t tasks_without = 0;
  int64_t runtime = 0;
  int64_t labelled_runtime = 0;
};

OfHogA Sum(const CpuProfile& profile) {
  OfHogA sum;
  for (const CpuProfileEntry& entry : profile.entries) {
    if (entry.kind == SampleKind::kRuntime && entry.tag) sum.labelled_runtime += entry.weight;
    if (!HasHogA(entry)) continue;
    if (entry.kind == SampleKind::kRuntime) sum.runtime += entry.weight;
    if (entry.kind != SampleKind::kTask) continue;
    const bool labelled = Labels::FromTag(entry.tag).Get("job") == "a";
    (labelled ? sum.tasks_with_label : sum.tasks_without) += entry.weight;
  }
  return sum;
}

void UseHogA(nanoseconds cpu) {
  for (const nanoseconds end = ThreadCpu() + cpu; ThreadCpu() < end;) HogA();
}

constexpr int64_t kEnough = 50'000'000;  // nanoseconds

// Runs `body` on a task with a label until there is enough of HogA in the profile.
OfHogA Profile(const std::function<void()>& body,
               const std::function<bool(const OfHogA&)>& enough) {
  OfHogA sum;
  for (milliseconds duration(200); duration <= milliseconds(6400); duration *= 2) {
    const CpuProfile profile = curg::Run({.workers = 2}, [&] {
      CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
      const ScopedLabels labels({{"job", "a"}});
      for (const auto end = std::chrono::steady_clock::now() + duration;
           std::chrono::steady_clock::now() < end;) {
        body();
      }
      return session.Stop();
    });
    sum = Sum(profile);
    if (enough(sum)) break;
  }
  return sum;
}

// A handler that Asio was given as a plain function belongs to no task, whoever posted it: the
// worker that runs it is the runtime's.
TEST(ForeignCode, AsiosHandlersAreTheRuntimes) {
  const OfHogA sum = Profile(
      [] {
        std::atomic<bool> done{false};
        boost::asio::post(IoExecutor(), [&done] {
          UseHogA(milliseconds(5));
          done = true;
        });
        while (!done) SleepFor(milliseconds(1));
      },
      [](const OfHogA& found) { return found.runtime >= kEnough; });
  EXPECT_GE(sum.runtime, kEnough);
  EXPECT_EQ(sum.labelled_runtime, 0);
  EXPECT_EQ(sum.tasks_with_label + sum.tasks_without, 0);
}

// What a task waits for with Asio's operations, and does when they are through, is its own.
TEST(ForeignCode, WhatFollowsAnAsioOperationIsTheTasks) {
  const OfHogA sum = Profile(
      [] {
        boost::asio::steady_timer timer(IoExecutor());
        timer.expires_after(milliseconds(1));
        timer.async_wait(UseTask());
        UseHogA(milliseconds(5));
      },
      [](const OfHogA& found) { return found.tasks_with_label >= kEnough; });
  EXPECT_GE(sum.tasks_with_label, kEnough);
  EXPECT_EQ(sum.tasks_without + sum.runtime + sum.labelled_runtime, 0);
}

// System calls that can be restarted are, though signals come all the time. Reads `bytes` of them;
// returns how many samples there were. On a slow machine both threads may have ended before the
// profiler has found them.
int64_t ReadWhileProfiled(int bytes) {
  CpuProfileSession session = StartCpuProfile({.rate_hz = 10'000}).value();
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  std::thread writer([&ends, bytes] {
    for (int i = 0; i < bytes; ++i) {
      UseHogA(milliseconds(1));
      EXPECT_EQ(write(ends[1], "x", 1), 1);
    }
  });
  int read_bytes = 0;
  std::thread reader([&] {
    char byte;
    while (read_bytes < bytes) {
      UseHogA(std::chrono::microseconds(300));  // so that signals are about
      ASSERT_EQ(read(ends[0], &byte, 1), 1) << errno;
      ++read_bytes;
    }
  });
  writer.join();
  reader.join();
  EXPECT_EQ(read_bytes, bytes);
  for (const int end : ends) close(end);
  return session.Stop().quality.samples;
}

TEST(ForeignCode, SignalsDoNotInterruptReads) {
  int64_t samples = 0;
  for (int bytes = 200; bytes <= 3200 && samples == 0; bytes *= 2) {
    samples = ReadWhileProfiled(bytes);
  }
  EXPECT_GT(samples, 0);
}

// A program that is executed begins with the signal mask of the task that forked, which is empty,
// and gets no SIGPROF, which would kill it.
TEST(ForeignCode, ExecutedProgramsAreLeftAlone) {
  CpuProfileSession session = StartCpuProfile({.rate_hz = 10'000}).value();
  curg::Run({.workers = 2}, [] {
    for (int i = 0; i < 20; ++i) {
      UseHogA(milliseconds(2));
      const pid_t child = fork();
      if (child == 0) {
        // Computes for some milliseconds, then says whether any signal is blocked or pending.
        execl("/bin/sh", "sh", "-c",
              "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; "
              "while read name bits; do case $name in SigBlk:|SigPnd:|ShdPnd:) "
              "[ $bits = 0000000000000000 ] || exit 3;; esac; done < /proc/self/status",
              nullptr);
        _exit(127);
      }
      int status = -1;
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      EXPECT_EQ(status, 0) << "signal " << WTERMSIG(status) << ", exit " << WEXITSTATUS(status);
    }
  });
  EXPECT_GT(session.Stop().quality.samples, 0);
}

// SIGPROF that nobody armed for, on threads that the runtime knows or does not, change nothing
// (Go's TestCgoExternalThreadSIGPROF).
TEST(ForeignCode, StraySigprofsAreHarmless) {
  const auto stray = [] {
    for (int i = 0; i < 100; ++i) ASSERT_EQ(raise(SIGPROF), 0);
  };
  CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
  std::thread(stray).join();
  curg::Run([&stray] { Go(stray).Join(); });
  UseHogA(milliseconds(50));
  EXPECT_GT(session.Stop().quality.samples, 0);
  stray();  // also when nobody profiles any more
}

}  // namespace
}  // namespace curg::internal
