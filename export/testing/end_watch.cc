// SPDX-License-Identifier: Apache-2.0
#include "export/testing/end_watch.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <utility>

#include "runtime/fault_handler.h"
#include "runtime/futex.h"
#include "runtime/signal_action.h"
#include "runtime/thread_registry.h"

namespace curg::internal {
namespace {

// Lock-free, all of them, so that the handler may use them.
std::atomic<uint32_t> came{0};  // the first signal
std::atomic<uint32_t> done{0};  // 1: `before` has returned
std::atomic<pid_t> watched_process{0};
std::atomic<pid_t> watcher{0};
int64_t g_patience_ns = 0;  // written before the handler is installed

struct Watched {
  int signal;
  bool ours = false;
  SignalAction previous = {};
};
// Written before the handler is installed.
Watched g_watched[] = {{SIGTERM}, {SIGSEGV}, {SIGBUS}, {SIGFPE}, {SIGILL}, {SIGABRT}};

void Die(int signal_number) {
  signal(signal_number, SIG_DFL);
  kill(getpid(), signal_number);
}

int64_t Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The faulting thread stays here meanwhile; so does any other that has a fault, or it would end the
// process.
void WaitForBefore() {
  const int64_t deadline = Now() + g_patience_ns;
  // acquire: pairs with Watch()
  while (done.load(std::memory_order_acquire) == 0 && FutexWait(done, 0, deadline)) {
  }
}

// A forked child has no watcher; and nobody helps a watcher that has a fault itself.
bool IsWatched() {  // relaxed, both: set before the handler
  return watched_process.load(std::memory_order_relaxed) == getpid() &&
         watcher.load(std::memory_order_relaxed) != gettid();
}

void OnEnd(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool watched = IsWatched();
  if (watched) {
    uint32_t none = 0;
    // release: pairs with Watch()
    came.compare_exchange_strong(none, static_cast<uint32_t>(signal), std::memory_order_release);
    FutexWake(came);
    if (signal != SIGTERM) WaitForBefore();
  }
  if (!watched || signal != SIGTERM) {  // else the watcher does it
    for (const Watched& each : g_watched) {
      if (each.signal == signal) PassSignalOn(each.previous, signal, info, context);
    }
  }
  errno = saved_errno;
}

void Watch(const std::function<void(int)>& before) {
  // Known, so that a runtime that waits for ever is still seen to be the only one that could wake
  // itself.
  const ScopedKnownThread known(ThreadKind::kService);
  watcher.store(gettid(), std::memory_order_relaxed);  // relaxed: read by this thread alone, in
                                                       // effect
  // acquire: pairs with OnEnd()
  while (came.load(std::memory_order_acquire) == 0) FutexWait(came, 0);
  // relaxed: read already
  const int signal = static_cast<int>(came.load(std::memory_order_relaxed));
  before(signal);
  done.store(1, std::memory_order_release);  // release: pairs with WaitForBefore()
  FutexWake(done, INT32_MAX);
  if (signal == SIGTERM) Die(signal);
}

bool IsLeftToTheSystem(int signal) {
  struct sigaction now = {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_DFL;
}

}  // namespace

bool WatchForEnd(std::function<void(int)> before, std::chrono::nanoseconds patience) {
  g_patience_ns = patience.count();
  uint64_t mask = 0;
  for (Watched& watched : g_watched) {
    watched.ours = IsLeftToTheSystem(watched.signal);
    mask |= uint64_t{1} << (watched.signal - 1);
  }
  // First, so that it reports what ours passes on: it keeps silent when somebody was there before.
  InstallFaultHandler();
  watched_process.store(getpid(), std::memory_order_relaxed);  // relaxed: the handler comes later
  std::thread thread([before = std::move(before)] { Watch(before); });
  pthread_setname_np(thread.native_handle(), "curg-end");
  thread.detach();  // to the end of the process
  bool all = true;
  for (Watched& watched : g_watched) {
    if (watched.ours) all &= InstallSignalHandler(watched.signal, OnEnd, mask, &watched.previous);
  }
  return all;
}

}  // namespace curg::internal
