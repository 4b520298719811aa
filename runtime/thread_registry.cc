// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_registry.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "runtime/check.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

struct Registry {
  std::mutex lock;
  std::vector<KnownThread*> threads;   // guarded by lock
  ThreadObserver* observer = nullptr;  // guarded by lock
};

Registry& TheRegistry() {
  static Registry* const registry = new Registry;  // never destroyed: threads may outlive static
                                                   // objects
  return *registry;
}

// Keeps SIGPROF away from a thread that is not, or no longer, ready for it.
void BlockSigprof(bool block) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPROF);
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

// A thread that has begun cannot be refused any more: without memory it waits until there is some.
template <typename Fn>
void UntilThereIsMemory(Fn succeeds) {
  while (!succeeds()) usleep(1000);
}

StackBounds ThisThreadsStack() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  UntilThereIsMemory([&] { return pthread_getattr_np(pthread_self(), &attributes) == 0; });
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  const uintptr_t start = reinterpret_cast<uintptr_t>(low);
  return {start, start + size};
}

// The kernel's signal frame can take 11.5 KiB with AMX state; a handler and what it calls the rest.
size_t SignalStackSize() {
  constexpr size_t kHandler = size_t{64} << 10;
  return kHandler + std::max<size_t>(getauxval(AT_MINSIGSTKSZ), 4096);
}

}  // namespace

void SetThreadObserver(ThreadObserver* observer) {
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.lock);
  CURG_CHECK(registry.observer == nullptr, "install one thread observer a process");
  registry.observer = observer;
  for (KnownThread* thread : registry.threads) observer->OnThreadBegin(*thread);
}

void ForEachKnownThread(void (*visit)(KnownThread& thread, void* arg), void* arg) {
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.lock);
  for (KnownThread* thread : registry.threads) visit(*thread, arg);
}

ScopedKnownThread::ScopedKnownThread(ThreadKind kind) {
  BlockSigprof(true);
  thread_.kind = kind;
  thread_.tid = gettid();
  thread_.handle = pthread_self();
  thread_.system_stack = ThisThreadsStack();
  thread_.state = &ThisThread();
  signal_stack_.ss_size = SignalStackSize();
  UntilThereIsMemory([&] {
    signal_stack_.ss_sp = mmap(nullptr, signal_stack_.ss_size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return signal_stack_.ss_sp != MAP_FAILED;
  });
  CURG_CHECK(sigaltstack(&signal_stack_, &previous_signal_stack_) == 0,
             "do not start a worker from a signal handler");
  prctl(PR_SET_TIMERSLACK, 1);  // nanosecond: the default of 50 us would be added to every sleep

  ThreadState& state = ThisThread();
  state.system_stack = thread_.system_stack;
  state.known = true;
  {
    Registry& registry = TheRegistry();
    std::lock_guard lock(registry.lock);
    registry.threads.push_back(&thread_);
    if (registry.observer != nullptr) registry.observer->OnThreadBegin(thread_);
  }
  BlockSigprof(false);
}

ScopedKnownThread::~ScopedKnownThread() {
  BlockSigprof(true);
  {
    Registry& registry = TheRegistry();
    std::lock_guard lock(registry.lock);
    if (registry.observer != nullptr) registry.observer->OnThreadEnd(thread_);
    std::erase(registry.threads, &thread_);
  }
  ThreadState& state = ThisThread();
  state.known = false;
  state.system_stack = {};
  sigaltstack(&previous_signal_stack_, nullptr);
  munmap(signal_stack_.ss_sp, signal_stack_.ss_size);
}

}  // namespace curg::internal
