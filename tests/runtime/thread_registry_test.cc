// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_registry.h"

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg::internal {
namespace {

bool SigprofIsBlocked() {
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  return sigismember(&set, SIGPROF) == 1;
}

// Keeps book of the workers there are; the service worker begins when it is first needed and never
// ends.
class Book : public ThreadObserver {
 public:
  void OnThreadBegin(KnownThread& thread) override {
    if (thread.kind != ThreadKind::kWorker) return;
    std::lock_guard lock(lock_);
    EXPECT_TRUE(alive_.insert(thread.tid).second);
    if (thread.tid == gettid()) CheckOwnThread(thread);
    ++begun_;
    thread.observer_data = this;
  }
  void OnThreadEnd(KnownThread& thread) override {
    if (thread.kind != ThreadKind::kWorker) return;
    std::lock_guard lock(lock_);
    EXPECT_EQ(alive_.erase(thread.tid), 1u);
    EXPECT_EQ(thread.tid, gettid());
    EXPECT_EQ(thread.observer_data, this);
    CheckOwnThread(thread);
    ++ended_;
  }

  std::set<pid_t> alive() {
    std::lock_guard lock(lock_);
    return alive_;
  }
  int begun() {
    std::lock_guard lock(lock_);
    return begun_;
  }
  int ended() {
    std::lock_guard lock(lock_);
    return ended_;
  }

 private:
  static void CheckOwnThread(const KnownThread& thread) {
    EXPECT_TRUE(SigprofIsBlocked());
    EXPECT_TRUE(pthread_equal(thread.handle, pthread_self()));
    EXPECT_TRUE(
        thread.system_stack.Contains(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))));
    stack_t stack;
    EXPECT_EQ(sigaltstack(nullptr, &stack), 0);
    EXPECT_EQ(stack.ss_flags & SS_DISABLE, 0);
    EXPECT_GE(stack.ss_size, size_t{64} << 10);
  }

  std::mutex lock_;
  std::set<pid_t> alive_;
  int begun_ = 0;
  int ended_ = 0;
};

std::set<pid_t> Known() {
  std::set<pid_t> known;
  ForEachKnownThread(
      [](KnownThread& thread, void* out) {
        if (thread.kind == ThreadKind::kWorker)
          static_cast<std::set<pid_t>*>(out)->insert(thread.tid);
      },
      &known);
  return known;
}

// One observer a process, so one test tells the whole story.
TEST(ThreadRegistry, ObserverSeesEveryThread) {
  static Book* const book = new Book;
  EXPECT_TRUE(Known().empty());
  {
    // No tasks yet: a worker that looked held with one would get company.
    auto before = Runtime::Create({.workers = 2}).value();
    while (Known().size() < 2) std::this_thread::yield();
    SetThreadObserver(book);
    EXPECT_EQ(book->alive(), Known());
    EXPECT_EQ(book->begun(), 2);
    EXPECT_EQ(book->ended(), 0);

    auto after = Runtime::Create({.workers = 3}).value();
    while (book->begun() < 5) std::this_thread::yield();
    EXPECT_EQ(book->alive(), Known());
    after->Run([] { EXPECT_FALSE(SigprofIsBlocked()); });
  }
  EXPECT_GE(book->begun(), 5);
  EXPECT_EQ(book->ended(), book->begun());
  EXPECT_TRUE(book->alive().empty());
  EXPECT_TRUE(Known().empty());

  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 20; ++i) curg::Run({.workers = 2}, [] { Yield(); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(book->begun(), 5 + 3 * 20 * 2);
  EXPECT_EQ(book->ended(), book->begun());
  EXPECT_FALSE(SigprofIsBlocked());  // here nothing was changed
}

}  // namespace
}  // namespace curg::internal
