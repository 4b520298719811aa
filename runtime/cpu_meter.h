// SPDX-License-Identifier: Apache-2.0
//
// CpuMeter: what a worker thread spends its CPU time on, by task and by tag; the workers' side of
// CpuAccounting (cpu_accounting.h).
//
// A *slice* is the time that one thread works for one *account*: a tag, the tasks without one, or
// the runtime. Only where a switch (or a change of tag) goes to another account does the slice end:
// tasks of one tag that take turns cost a comparison a switch. While somebody wants to know the
// time of each task, every switch ends one.
//
// Slices are timed with one read of TickClock, some 25 ns with all that is done. Where that is more
// than a hundredth of a thread's CPU time (accounts change every 2.5 us or faster, and not just for
// a moment), and nobody has insisted, metering pauses for all: see Wish and TryAgain. And as long
// as no task has a tag it sleeps: there is nothing to tell apart. What threads use meanwhile is
// known as one sum.
//
//   Start --> asleep --a task gets a tag--> on --too dear--> given up
//     |                                      ^                  |
//     +--------tasks have tags---------------+----TryAgain------+
//
// TickClock is wall time: a thread that lost its CPU meanwhile would be charged for it. So a slice
// that ends 100 us or more after the last reading of the thread's CPU clock reads it again (0.4 us)
// and is charged what makes the sum of all charges equal to it. A slice during which the thread
// lost its CPU is one of these; the short ones before it were charged what they took.
//
// Ownership  all plain fields belong to the thread. Numbers are written by the thread and read by
//            anybody. Which tag an entry is for, and the epoch, change under the lock of all meters
//            only.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/asymmetric_fence.h"
#include "runtime/tag.h"
#include "runtime/task.h"

namespace curg::internal {

// The sums over all threads since the first Start. A value.
struct CpuTotals {
  int64_t unmetered_ns = 0;  // while metering slept or had given up: nobody knows whose
  uint32_t give_ups = 0;     // how often it has given up
  struct Sum {
    TagRef tag;
    int64_t ns = 0;
  };
  std::unordered_map<const Tag*, Sum> tags;  // null: tasks without a tag
  int64_t runtime_ns = 0;                    // between tasks, and the runtime's own tasks
  int64_t other_ns = 0;                      // of tags beyond kTagsMax
  int64_t in_flight_ns = 0;                  // of slices that have not ended: the sum of these
  struct Slice {
    pid_t tid = 0;
    uint64_t since = 0;  // time-stamp counter; never where TickClock does not use it
    int64_t ns = 0;
    bool known = false;  // whose it is: ...
    bool runtime = false;
    TagRef tag = {};
  };
  std::vector<Slice> slices;
};

// When metering was on of late: as far back as a sample may wait in its buffer. A value.
class MeteredTimes {
 public:
  static constexpr uint64_t kNow = UINT64_MAX;

  void Begin(uint64_t time) { spans_[++last_ % spans_.size()] = {time, kNow}; }
  void End(uint64_t time) { spans_[last_ % spans_.size()].end = time; }
  // `time`, as all of them: the time-stamp counter.
  bool Contain(uint64_t time) const {
    for (const Span& span : spans_) {
      if (time >= span.begin && time < span.end) return true;
    }
    return false;
  }

 private:
  struct Span {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  std::array<Span, 4> spans_ = {};
  size_t last_ = 0;
};

// Whom a slice is charged to.
struct CpuAccount {
  const Tag* tag = nullptr;  // null: tasks without one
  bool runtime = false;      // the scheduler, or a task of the runtime's own; then there is no tag
  bool operator==(const CpuAccount&) const = default;
};

class CpuMeter {
 public:
  static constexpr size_t kTagsMax = 1 << 16;

  // Of the calling thread. Blocks: the thread, for a lock.
  CpuMeter();
  ~CpuMeter();
  CpuMeter(const CpuMeter&) = delete;
  CpuMeter& operator=(const CpuMeter&) = delete;

  // What somebody who starts metering asks for.
  enum class Wish {
    kTagsIfCheap,   // the time of each tag, while that costs less than 1 % of a thread's CPU time
    kTags,          // the time of each tag
    kTagsAndTasks,  // that of each task, too
  };
  static constexpr int64_t kCostShareMax = 100;  // one part in so many

  // Whether slices are metered now. Thread-safe.
  static bool On() { return epoch_wanted_.load(std::memory_order_relaxed) != 0; }

  // All of these, while On(): owner only. Not async-signal-safe. Block: seldom, for a lock, when
  // the thread's tags are many. The tags of the tasks they are given must be alive.
  //
  // The thread goes from `task` to `next`.
  void Switch(Task& task, const Task& next) {
    // relaxed: the caller owns the task
    if (next.tag.load(std::memory_order_relaxed) != open_tag_ || OfTasks() || !HasBegun()) {
      SwitchAccount(task, AccountOf(next));
    }
  }
  // From `task` to the scheduler, which looks for another one. If Enter comes before Idle, that
  // look is taken for a part of what `task` did.
  void Leave(Task& task);
  // The scheduler has nothing at hand.
  void Idle() {
    if (On() && open_account_ != kScheduler) EndSlice(nullptr, kScheduler, kScheduler);
  }
  // From the scheduler to `next`.
  void Enter(const Task& next);
  // `task` goes on, and what it did up to now is to be charged; from now on it has `tag`.
  void Charge(Task& task, const Tag* tag);

  // Nobody wants to know any more: lets go of tags. Owner only. Blocks: for a lock.
  void ReleaseIfOff();

  // A task, whoever's, has been given a tag. Thread-safe. Blocks: once in a while, for a lock.
  static void NoteTag() {
    LightFence();  // pairs with the HeavyFence in TagsInUse()
    if (!tags_seen_.load(std::memory_order_relaxed)) [[unlikely]]
      WakeUp();
  }

  // From the first Start to the last Stop sums are kept. Thread-safe. Block: the thread, for a
  // lock; the first Start for a fifth of a millisecond.
  static void Start(Wish wish);
  static void Stop(Wish wish);  // as at the Start
  // Turns metering on again if it gave up a second ago or more. Thread-safe. Blocks: for a lock.
  static void TryAgain();
  // Thread-safe. Blocks: the thread, for a lock.
  static MeteredTimes Times();
  // Whether `tid` is a thread with a meter. Thread-safe. Blocks: the thread, for a lock.
  static bool Has(pid_t tid);
  // Since the first Start. Thread-safe. Blocks: the thread, for a lock.
  static CpuTotals Read();

 private:
  static constexpr int64_t kReadClockNs = 100'000;
  static constexpr size_t kEntries = 64;

  struct Entry {
    std::atomic<const Tag*> tag{nullptr};  // holds a reference
    std::atomic<int64_t> ns{0};
  };

  using Account = CpuAccount;
  static constexpr Account kScheduler = {.runtime = true};

  static Account AccountOf(const Task& task) {
    if (task.runtime_task) return kScheduler;
    return {.tag = task.tag.load(std::memory_order_relaxed)};  // relaxed: the caller owns the task
  }
  bool HasBegun() const {
    return epoch_.load(std::memory_order_relaxed) == epoch_wanted_.load(std::memory_order_relaxed);
  }
  // relaxed: whoever sees it late charges a slice to one task more than it should
  static bool OfTasks() { return tasks_wanted_.load(std::memory_order_relaxed) != 0; }

  // As Switch, if it is one to another account.
  void SwitchAccount(Task& task, Account to);
  // Charges the slice to `task` (if there is one) and its account, which is `from` unless it is
  // known better; the next one is for `to`.
  void EndSlice(Task* task, Account from, Account to);
  void EndSliceNow(Task* task, Account from, Account to);
  int64_t NextCharge();
  Entry& EntryOf(Account account);
  CpuTotals::Slice InFlight(bool of_epoch);
  void ChargeTask(Task& task, int64_t ns);
  void CheckCost(int64_t cpu);
  void SetOpen(Account account, Entry* entry);
  static int64_t MeasureSliceNs();
  static void GiveUp();  // takes the lock
  static void WakeUp();  // takes the lock
  // Whether a task has a tag; these three: with the lock held.
  static bool TagsInUse();
  static void TurnOn();
  static void TurnOff();
  bool OfSession() const;           // with the lock held
  void BeginEpoch(uint32_t epoch);  // takes the lock
  void Replace(Entry& entry, const Tag* tag);
  void Fold();  // with the lock held
  int64_t ThreadCpuNs() const;

  static std::atomic<uint32_t> epoch_wanted_;  // a new one whenever metering is turned on; 0: off
  static std::atomic<uint32_t> tasks_wanted_;  // 0: nobody wants to know of tasks; else since when,
                                               // as a number
  // False: no task has a tag. Set by whoever gives one to a task; cleared under the lock.
  static std::atomic<bool> tags_seen_;
  static std::atomic<int64_t> slice_cost_ns_;

  clockid_t clock_;
  std::atomic<uint32_t> epoch_{0};  // that the thread knows of
  uint32_t session_ = 0;            // that the numbers are of; under the lock
  // the thread's CPU clock when metering was last turned on or off; under the lock
  std::atomic<int64_t> cpu_at_start_{0};
  int64_t unmetered_ns_ = 0;  // in this session, up to then; under the lock
  uint32_t tasks_seen_ = 0;   // of tasks_wanted_
  // the thread's CPU clock when tasks_wanted_ was set; under the lock
  std::atomic<int64_t> cpu_at_tasks_{0};
  int64_t slices_ = 0;  // in this epoch

  // The account of the slice that has not ended, whose entry holds its tag. The entry is null until
  // the epoch's first slice has ended.
  Account open_account_ = kScheduler;
  const void* open_tag_ = this;  // the account's; no tag at all where it is the runtime
  std::atomic<Entry*> open_{nullptr};
  // Odd while a slice ends: whoever saw the same even number before and after has read numbers of
  // one slice.
  std::atomic<uint32_t> version_{0};

  const pid_t tid_;
  std::atomic<uint64_t> slice_begin_{0};  // ticks
  uint64_t clock_read_ = 0;               // ticks
  // the thread's CPU clock, up to which all is charged but for `since_read_`
  int64_t uncharged_from_ = 0;
  int64_t since_read_ = 0;  // charged since the clock was read

  std::atomic<int64_t> charged_{0};  // all
  Entry runtime_;
  Entry untagged_;
  std::array<Entry, kEntries> entries_;
};

}  // namespace curg::internal
