// SPDX-License-Identifier: Apache-2.0
//
// CpuMeter: what a worker thread spends its CPU time on, by task and by tag; the workers' side of CpuAccounting
// (cpu_accounting.h).
//
// A *slice* is the time from one switch (or change of tag) to the next on one thread. Slices are timed with one
// read of TickClock. That is wall time: a thread that lost its CPU meanwhile would be charged for it. So
// a slice that ends 100 us or more after the last reading of the thread's CPU clock reads it again (0.4 us)
// and is charged what makes the sum of all charges equal to it. A slice during which the thread lost its
// CPU is one of these; the short ones before it were charged what they took.
//
// Ownership  all plain fields belong to the thread. Numbers are written by the thread and read by anybody.
//            Which tag an entry is for, and the epoch, change under the lock of all meters only.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/tag.h"

namespace curg::internal {

class Task;

// The sums over all threads. A value.
struct CpuTotals {
  struct Sum {
    TagRef tag;
    int64_t ns = 0;
  };
  std::unordered_map<const Tag*, Sum> tags;  // null: tasks without a tag
  int64_t runtime_ns = 0;    // between tasks, and the runtime's own tasks
  int64_t other_ns = 0;      // of tags beyond kTagsMax
  int64_t in_flight_ns = 0;  // of slices that have not ended: the sum of these
  struct Slice {
    pid_t tid = 0;
    uint64_t since = 0;  // time-stamp counter; never where TickClock does not use it
    int64_t ns = 0;
  };
  std::vector<Slice> slices;
};

class CpuMeter {
 public:
  static constexpr size_t kTagsMax = 1 << 16;

  // Of the calling thread. Blocks: the thread, for a lock.
  CpuMeter();
  ~CpuMeter();
  CpuMeter(const CpuMeter&) = delete;
  CpuMeter& operator=(const CpuMeter&) = delete;

  // Whether anybody wants to know. Thread-safe.
  static bool On() { return epoch_wanted_.load(std::memory_order_relaxed) != 0; }

  // The time since the last slice went to `task` (null: none), which carries `tag`, alive; the next begins.
  // Owner only. Not async-signal-safe. Blocks: seldom, for a lock, when the thread's tags are many.
  void EndSlice(Task* task, const Tag* tag);

  // Nobody wants to know any more: lets go of tags. Owner only. Blocks: for a lock.
  void ReleaseIfOff();

  // The first Start turns metering on, the last Stop off. Thread-safe. Block: the thread, for a lock.
  static void Start();
  static void Stop();
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

  int64_t NextCharge();
  std::atomic<int64_t>& SumOf(const Tag* tag);
  void BeginEpoch(uint32_t epoch);   // takes the lock
  void Replace(Entry& entry, const Tag* tag);
  void Fold();                       // with the lock held
  int64_t ThreadCpuNs() const;

  static std::atomic<uint32_t> epoch_wanted_;  // 0: off

  clockid_t clock_;
  std::atomic<uint32_t> epoch_{0};       // that the numbers are of
  std::atomic<int64_t> cpu_at_start_{0}; // the thread's CPU clock at the epoch's start; under the lock

  const pid_t tid_;
  std::atomic<uint64_t> slice_begin_{0};  // ticks
  uint64_t clock_read_ = 0;    // ticks
  int64_t uncharged_from_ = 0; // the thread's CPU clock, up to which all is charged but for `since_read_`
  int64_t since_read_ = 0;     // charged since the clock was read

  std::atomic<int64_t> charged_{0};  // all
  std::atomic<int64_t> runtime_{0};
  std::atomic<int64_t> untagged_{0};
  std::array<Entry, kEntries> entries_;
};

}  // namespace curg::internal
