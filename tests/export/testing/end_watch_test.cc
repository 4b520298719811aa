// SPDX-License-Identifier: Apache-2.0
#include "export/testing/end_watch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "gtest/gtest.h"
#include "runtime/context.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using testing::ExitedWithCode;
using testing::KilledBySignal;

void SayWhich(int signal) { std::fprintf(stderr, "before %d\n", signal); }

// The undefined-behaviour sanitizer would end the process first.
__attribute__((unused, no_sanitize("undefined"))) void Fault() {
  *static_cast<volatile int*>(nullptr) = 1;
}

// Each starts the program anew: there is one watch a process.
class EndWatchDeathTest : public testing::Test {
 protected:
  EndWatchDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(EndWatchDeathTest, CallsBeforeTheSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        WatchForEnd(SayWhich);
        kill(getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::hours(1));
      },
      KilledBySignal(SIGTERM), "before 15");
  EXPECT_EXIT(
      {
        WatchForEnd(SayWhich);
        std::abort();
      },
      KilledBySignal(SIGABRT), "before 6");
#if !defined(CURG_ASAN) && !defined(CURG_TSAN)  // which handle faults themselves
  EXPECT_EXIT(
      {
        WatchForEnd(SayWhich);
        std::thread(Fault).join();
      },
      KilledBySignal(SIGSEGV), "before 11");
#endif
}

TEST_F(EndWatchDeathTest, EndsAFaultAlthoughBeforeDoesNotReturn) {
  EXPECT_EXIT(
      {
        WatchForEnd([](int) { std::this_thread::sleep_for(std::chrono::hours(1)); },
                    milliseconds(300));
        std::abort();
      },
      KilledBySignal(SIGABRT), "");
}

TEST_F(EndWatchDeathTest, EndsWhenBeforeHasAFaultItself) {
  EXPECT_EXIT(
      {
        WatchForEnd([](int) { std::abort(); }, std::chrono::hours(1));
        std::abort();
      },
      KilledBySignal(SIGABRT), "");
}

// The others stay until the first has been seen to.
TEST_F(EndWatchDeathTest, CallsBeforeOnceForSeveralFaults) {
  EXPECT_EXIT(
      {
        WatchForEnd([](int signal) {
          std::this_thread::sleep_for(milliseconds(300));
          SayWhich(signal);
        });
        std::thread other([] { std::abort(); });
        std::abort();
      },
      KilledBySignal(SIGABRT), "^before 6\n$");
}

TEST_F(EndWatchDeathTest, LeavesAloneWhatTheProgramHandles) {
  EXPECT_EXIT(
      {
        signal(SIGTERM, [](int) { _exit(7); });
        WatchForEnd(SayWhich);
        kill(getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::hours(1));
      },
      ExitedWithCode(7), "^$");
}

TEST_F(EndWatchDeathTest, AForkedChildDiesAtOnce) {
  EXPECT_EXIT(
      {
        WatchForEnd(SayWhich);
        for (const int signal : {SIGTERM, SIGABRT}) {
          const pid_t child = fork();
          if (child == 0) {
            kill(getpid(), signal);
            std::this_thread::sleep_for(std::chrono::hours(1));
          }
          int status = 0;
          if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
              WTERMSIG(status) != signal)
            _exit(1);
        }
        _exit(0);
      },
      ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace curg::internal
