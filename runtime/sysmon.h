// SPDX-License-Identifier: Apache-2.0
//
// Sysmon: what keeps a scheduler going although nothing is preempted. A runtime task on the service
// worker that looks at the processors every 10 ms while any worker is awake.
//
//   A worker is *held* when its processor's tick has stood still for kHeldNs: one task, no switch.
//   When all are held and work waits, one more worker is started (at most Scheduler::kSurplusMax);
//   it takes what is queued on the held processors, run-next slots included. Held workers that come
//   back make a surplus worker retire.
//   A processor whose task is in Blocking goes to a spare worker if the same call was there at the
//   last look. While work waits for it, looks come every 20 us, later every 100
//   (scheduler_blocking.cc). Timers of held processors that are overdue are fired from here.
//   While some workers run and others sleep, none of them in the poller, it looks every millisecond
//   whether that is due, and sends a sleeper.
//   Tasks that keep their worker for long are reported (slice_watch.h), and so are deadlocks
//   (deadlock_watch.h).
//   Memory of stacks and task records that nobody used for a second goes back to the kernel.
//
// When all workers sleep it sleeps too, with a distant deadline at most, after one last look at the
// memory; the first worker that wakes up, or empties its caches, wakes it. As Go's sysmon, but that
// the processor of a task that runs cannot be taken: it is used without locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "runtime/claim_waiter.h"
#include "runtime/deadlock_watch.h"
#include "runtime/join_handle.h"
#include "runtime/report_options.h"
#include "runtime/scheduler.h"
#include "runtime/slice_watch.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

class Sysmon final : public AwakeListener, public QuietSource {
 public:
  // Starts the task.
  Sysmon(Scheduler& scheduler, const ReportOptions& reports);
  Sysmon(const Sysmon&) = delete;
  Sysmon& operator=(const Sysmon&) = delete;

  // Ends the task and waits for it: from then on no worker is added. Once, before Scheduler::Stop.
  // Blocks: the task or plain thread.
  void Stop();

  // Thread-safe.
  void OnWorkerAwake() override {
    // seq_cst: the worker left the idle list before; WaitForNext() looks the other way round
    if (resting_.load(std::memory_order_seq_cst) || all_asleep_.load(std::memory_order_seq_cst))
      Wake();
  }

  // Thread-safe.
  void OnBlockedWork() override { Wake(); }

  // QuietSource.
  bool IsQuiet() const override;
  uint64_t Epoch() const override;
  bool HasTasks() const override { return scheduler_.TasksAlive() > 0; }
  size_t WorkerThreads() const override;
  const Scheduler* scheduler() const override { return &scheduler_; }

 private:
  // How long a task may run before its worker counts as held. Go preempts after 10 ms, too.
  static constexpr int64_t kHeldNs = 10'000'000;
  static constexpr int64_t kPeriodNs = 10'000'000;
  static constexpr int64_t kTrimPeriodNs = 1'000'000'000;
  static constexpr int64_t kCpusPeriodNs = 1'000'000'000;
  // Between looks at calls of Blocking while work waits: at first, and after kRetakeLooks of them.
  static constexpr int64_t kRetakeNs = 20'000;
  static constexpr int64_t kRetakeLateNs = 100'000;
  static constexpr int kRetakeLooks = 50;
  static constexpr int kRetakeQuietLooks = 8;  // in a row with nothing to do, before it rests
  // Between looks at the poller, and how many more of them follow one that found all asleep.
  static constexpr int64_t kPollLookNs = 1'000'000;
  static constexpr int kPollQuietLooks = 8;

  struct Seen {
    uint32_t tick = 0;
    int64_t since = 0;  // when the tick was first seen as it is
  };

  void Run();
  void Look(int64_t now);
  bool LookAtBlocked();
  bool LookAtPoller();
  bool AddsNoWorkers() const;
  bool MayAddWorker(bool all_held) const;
  void FollowCpus(int64_t now);
  bool AllAsleep() const;
  bool IoMayWake() const;
  void WaitForNext(int64_t now, bool retake, bool polls);
  void Wake();
  bool MarkHeld(int64_t now);
  bool IsHeld(size_t index, int64_t now);
  void FireOverdueTimers(int64_t now);
  void Trim(int64_t now);

  Scheduler& scheduler_;
  JoinHandle<void> task_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> resting_{false};     // asleep until a worker wakes up
  std::atomic<bool> all_asleep_{false};  // as that, or until its next look; only where it is to
                                         // look at the poller

  SpinLock lock_;
  ClaimWaiter* waiter_ = nullptr;  // guarded by lock_

  // Owned by the task.
  std::vector<Seen> seen_;
  SliceWatch slices_;
  DeadlockWatch deadlocks_;
  std::vector<uint64_t> blocked_;  // the calls of Blocking seen last, by processor
  int retake_looks_ = 0;
  int retake_quiet_looks_ = 0;
  int poll_quiet_looks_ = kPollQuietLooks;
  int64_t next_look_ = 0;
  int64_t next_cpus_ = 0;
  int64_t next_trim_ = 0;
  bool more_to_trim_ = true;
};

}  // namespace curg::internal
