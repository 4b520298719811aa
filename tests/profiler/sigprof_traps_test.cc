// SPDX-License-Identifier: Apache-2.0
//
// What the handler must not do besides allocating (sigprof_test.cc): enter the kernel, or take a
// lock. While it runs, the kernel turns every system call of its thread into a SIGSYS (syscall user
// dispatch), and the C library's locks and its walk of the loaded modules abort.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/sigprof.h"
#include "runtime/go.h"
#include "runtime/unwind_table.h"
#include "tests/profiler/signal_storm.h"
#include "tests/runtime/mixed_work.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CURG_TRAPS 0  // the sanitizers' runtimes call and lock as they like
#else
#define CURG_TRAPS 1
#endif

namespace {

// Before Linux 5.11's headers.
constexpr int kSetSyscallUserDispatch = 59;
constexpr unsigned long kDispatchOn = 1;
constexpr char kAllow = 0;
constexpr char kBlock = 1;

[[gnu::tls_model("initial-exec")]] constinit thread_local volatile char selector = kAllow;
[[gnu::tls_model("initial-exec")]] constinit thread_local bool dispatching = false;
std::atomic<int64_t> locks{0};
std::atomic<int64_t> trapped_handlers{0};

[[maybe_unused]] void Forbid(const char* what) {
  locks.fetch_add(1, std::memory_order_relaxed);
  if (!curg::internal::InSigprof()) return;
  selector = kAllow;
  std::fprintf(stderr, "the SIGPROF handler calls %s\n", what);
  std::abort();
}

}  // namespace

#if CURG_TRAPS
// The next definition, that of the C library, of the function it stands in.
#define CURG_NEXT(function) \
  static const auto next = reinterpret_cast<decltype(&function)>(dlsym(RTLD_NEXT, #function))

extern "C" {
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  CURG_NEXT(pthread_mutex_lock);
  Forbid("pthread_mutex_lock");
  return next(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  CURG_NEXT(pthread_mutex_trylock);
  Forbid("pthread_mutex_trylock");
  return next(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  CURG_NEXT(pthread_rwlock_rdlock);
  Forbid("pthread_rwlock_rdlock");
  return next(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  CURG_NEXT(pthread_rwlock_wrlock);
  Forbid("pthread_rwlock_wrlock");
  return next(lock);
}
int pthread_spin_lock(pthread_spinlock_t* lock) noexcept {
  CURG_NEXT(pthread_spin_lock);
  Forbid("pthread_spin_lock");
  return next(lock);
}
int dl_iterate_phdr(int (*visit)(dl_phdr_info*, size_t, void*), void* arg) {
  CURG_NEXT(dl_iterate_phdr);
  Forbid("dl_iterate_phdr");
  return next(visit, arg);
}
}
#endif

namespace curg::internal {
namespace {

void OnSystemCall(int, siginfo_t* info, void*) {
  selector = kAllow;
  std::fprintf(stderr, "the SIGPROF handler makes system call %d\n", info->si_syscall);
  std::abort();
}

void Guarded(int signal, siginfo_t* info, void* context) {
  if (dispatching) {
    selector = kBlock;
    trapped_handlers.fetch_add(1, std::memory_order_relaxed);
  }
  OnSigprof(signal, info, context);
  selector = kAllow;  // the return from a handler is a system call, too
}

// Makes this thread one whose handlers are watched.
void Dispatch() {
  if (dispatching) return;
  dispatching = prctl(kSetSyscallUserDispatch, kDispatchOn, 0, 0, &selector) == 0;
}

constexpr int64_t kHandlers = 2000;

void Churn() {
  std::map<int, std::string> numbers;
  std::mutex mutex;
  for (int i = 0; trapped_handlers.load(std::memory_order_relaxed) < kHandlers; ++i) {
    Dispatch();  // on whichever worker it is
    const ScopedLabels label({{"round", std::to_string(i % 10)}});
    {
      const std::lock_guard lock(mutex);
      numbers[i % 500] = std::to_string(i) + std::string(40, 'x');
    }
    if (i % 16 == 0) Yield();
    if (i % 64 == 0) Go([] { return std::vector<int>(100); }).Join();
    if (i % 512 == 0) MixedWork(1);
  }
}

TEST(SigprofTraps, NoSystemCallAndNoLock) {
  if (!CURG_TRAPS) GTEST_SKIP() << "the sanitizer's runtime calls and locks as it likes";
  ASSERT_TRUE(RefreshUnwindTables().ok());
  struct sigaction trap {};
  trap.sa_sigaction = &OnSystemCall;
  trap.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ASSERT_EQ(sigaction(SIGSYS, &trap, nullptr), 0);
  // The kernel's trap works (Linux 5.11); the C library's locks have theirs counted below.
  ASSERT_DEATH(
      {
        Dispatch();
        selector = kBlock;
        syscall(SYS_getppid);
      },
      "makes system call 110");
  const int64_t locks_before = locks.load();
  // Other signals come, too: the long slices' reports.
  curg::Run(
      {.workers = 2, .long_slice = std::chrono::milliseconds(1), .long_slices_a_minute = 1000000},
      [] {
        SignalStorm storm({}, [](const ProfHeader&, auto) {});
        struct sigaction guarded {};
        guarded.sa_sigaction = &Guarded;
        guarded.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        // No other handler in the middle of ours: its return would count as our system call.
        sigfillset(&guarded.sa_mask);
        sigdelset(&guarded.sa_mask, SIGSYS);
        struct sigaction before {};
        sigaction(SIGPROF, &guarded, &before);
        std::vector<JoinHandle<void>> tasks;
        for (int i = 0; i < 8; ++i) tasks.push_back(Go(&Churn));
        for (JoinHandle<void>& task : tasks) task.Join();
        storm.Stop();
        sigaction(SIGPROF, &before, nullptr);
      });
  EXPECT_GT(locks.load() - locks_before, 1000) << "the locks' trap was in place";
}

}  // namespace
}  // namespace curg::internal
