// SPDX-License-Identifier: Apache-2.0
#include "export/testing/term_watch.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <utility>

#include "runtime/futex.h"
#include "runtime/signal_action.h"
#include "runtime/thread_registry.h"

namespace curg::internal {
namespace {

// Lock-free, so that the handler may use them.
std::atomic<uint32_t> term_came{0};
std::atomic<pid_t> watched_process{0};

void Die() {
  signal(SIGTERM, SIG_DFL);
  kill(getpid(), SIGTERM);
}

// Only wakes the watcher. A forked child has none.
void OnTerm(int, siginfo_t*, void*) {
  const int saved_errno = errno;
  if (watched_process.load(std::memory_order_relaxed) !=
      getpid()) {  // relaxed: set before the handler
    Die();         // blocked until the handler returns
  } else {
    term_came.store(1, std::memory_order_release);  // release: pairs with Watch()
    FutexWake(term_came);
  }
  errno = saved_errno;
}

void Watch(const std::function<void()>& before) {
  // Known, so that a runtime that waits for ever is still seen to be the only one that could wake
  // itself.
  const ScopedKnownThread known(ThreadKind::kService);
  // acquire: pairs with OnTerm()
  while (term_came.load(std::memory_order_acquire) == 0) FutexWait(term_came, 0);
  before();
  Die();
}

}  // namespace

bool WatchForTerm(std::function<void()> before) {
  struct sigaction now = {};
  if (sigaction(SIGTERM, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) return false;
  watched_process.store(getpid(), std::memory_order_relaxed);  // relaxed: the handler comes later
  std::thread watcher([before = std::move(before)] { Watch(before); });
  pthread_setname_np(watcher.native_handle(), "curg-term");
  watcher.detach();  // to the end of the process
  SignalAction previous;
  return InstallSignalHandler(SIGTERM, OnTerm, 0, &previous);
}

}  // namespace curg::internal
