// SPDX-License-Identifier: Apache-2.0
//
// DeadlockWatch: sysmon's eye on a runtime in which nothing happens.
//
// A runtime is *quiet* when all its workers sleep, nothing is runnable, and no timer is set: then
// only somebody from outside can wake its tasks. Nobody will when every runtime of the process is
// quiet and every thread of the process is either the runtimes' own or a plain thread that waits in
// a call of the runtime without a deadline (PlainWaiters). That is a deadlock, and nothing can
// change it. What the argument rests on: waking a task, spawning one and setting a timer are done
// by threads that run; a thread that waits is taken off the count by its waker, before it can run.
//
// While there are other threads, one of them may be about to wake a task. Then there is one
// warning, after the runtime has been quiet for long, and none at all if it was ever woken from
// outside before: such a program waits for its threads, and that is how it is meant.
//
// The runtime's own tasks wake user tasks only where these wait for them (kServiceWait, or a join);
// where one does, there is no verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/options.h"
#include "runtime/reporter.h"

namespace curg::internal {

class Scheduler;

// What sysmon tells of its scheduler. Thread-safe.
class QuietSource {
 public:
  virtual bool IsQuiet() const = 0;
  // Changes whenever a task runs.
  virtual uint64_t Epoch() const = 0;
  // Whether there are tasks that have not ended.
  virtual bool HasTasks() const = 0;
  // Threads that run its tasks.
  virtual size_t WorkerThreads() const = 0;
  virtual const Scheduler* scheduler() const = 0;

 protected:
  ~QuietSource() = default;
};

// Owner only: sysmon, but for what the others ask of `source`.
class DeadlockWatch {
 public:
  DeadlockWatch(const QuietSource& source, DeadlockAction action, int64_t warn_after_ns)
      : source_(source), action_(action), warn_after_ns_(warn_after_ns) {}
  DeadlockWatch(const DeadlockWatch&) = delete;
  DeadlockWatch& operator=(const DeadlockWatch&) = delete;

  // Let the source be counted among the process's runtimes, and no more. Block: the thread.
  void Begin();
  void End();

  // At every look of sysmon's. Does not return from a fatal deadlock. Blocks: the thread; the
  // reporter.
  void Look(int64_t now);

  // When it wants to look next although nothing has happened; TimerQueue::kNever: no wish.
  int64_t next_look() const;

 private:
  struct Found {
    size_t total = 0;
    bool waits_for_service = false;
    std::vector<ReportedTask> tasks;  // names and stacks lie in the two below
    std::vector<std::vector<char>> names;
    std::vector<std::vector<uintptr_t>> stacks;
  };

  bool AnyWaits() const;  // whether a task of the source's is parked
  void Judge(int64_t now);
  bool MayReport(bool certain, int64_t now) const;
  // Describes the first `most`, and counts all.
  static Found FindTasks(bool with_tags, size_t most);

  const QuietSource& source_;
  const DeadlockAction action_;
  const int64_t warn_after_ns_;
  uint64_t epoch_ = 0;
  int64_t quiet_since_ = 0;  // 0: it is not
  bool confirmed_ = false;   // quiet at two looks in a row, with tasks that wait
  bool warned_ = false;
  bool woken_from_outside_ = false;  // once at least, after it had been quiet
  int64_t next_look_ = 0;
  int64_t backoff_ = 0;
};

}  // namespace curg::internal
