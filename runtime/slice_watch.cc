// SPDX-License-Identifier: Apache-2.0
#include "runtime/slice_watch.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <string_view>
#include <utility>

#include "runtime/context.h"
#include "runtime/fault_handler.h"
#include "runtime/other_thread.h"
#include "runtime/task.h"
#include "runtime/task_name.h"
#include "runtime/thread_state.h"
#include "runtime/traceback.h"
#include "runtime/unstable_reads.h"

namespace curg::internal {
namespace {

constexpr int64_t kMinuteNs = 60'000'000'000;
constexpr int64_t kPatienceNs = 100'000'000;  // for an answer
constexpr size_t kFramesOfSleeper = 32;

// A walk without compiled tables, which would take long to make while the slice goes on, does not
// know the end of a task's stack: it finds one frame more, of which nobody can tell anything.
void ShowStack(std::span<const uintptr_t> pcs, Traceback walk, ReportedTask* task) {
  const bool one_more = walk.end == TracebackEnd::kNoRow && walk.depth > 1;
  task->stack = pcs.first(walk.depth - (one_more ? 1 : 0));
  task->stack_cut = walk.end == TracebackEnd::kTruncated || walk.end == TracebackEnd::kBadFrame;
}

}  // namespace

SliceWatch::~SliceWatch() {
  // The thread asked is alive still, and is done in a few microseconds if it has begun.
  SliceProbe& probe = SliceProbe::Instance();
  while (question_ != 0 && !probe.GiveUp(question_)) {
    if (const SliceAnswer* answer = probe.Poll(question_)) {
      if (answer->in_task && answer->seen.tag != nullptr) answer->seen.tag->Unref();
      probe.Finish();
      return;
    }
    sched_yield();
  }
}

int64_t SliceWatch::Period(int64_t period_ns) const {
  if (threshold_ns_ == 0) return period_ns;
  return std::clamp<int64_t>(threshold_ns_ / 2, 1'000'000, period_ns);
}

void SliceWatch::Look(size_t index, Processor& processor, bool work_waits, int64_t now) {
  // acquire: pairs with Scheduler::Assign()
  const Worker& worker = *processor.worker.load(std::memory_order_acquire);
  if (threshold_ns_ == 0 || IsDying()) return;
  if (slices_.size() <= index) slices_.resize(index + 1);
  Slice& slice = slices_[index];
  // relaxed, all: hints
  const uint32_t tick = processor.tick.load(std::memory_order_relaxed);
  const pid_t tid = worker.tid.load(std::memory_order_relaxed);
  const bool ended = slice.tick != tick || !worker.in_task.load(std::memory_order_relaxed) ||
                     worker.asleep.load(std::memory_order_relaxed) != 0 ||
                     processor.blocking.load(std::memory_order_relaxed) != 0;
  if (question_ != 0 && asked_ == index) Collect(slice, processor, now);
  if (ended) {
    if (tid != 0) slice = {.tick = tick, .since = now, .cpu = ThreadCpuNs(tid).value_or(0)};
    return;
  }
  if (always_ || work_waits) slice.matters = true;
  bool sleeps = false;
  if (slice.done || !slice.matters || tid == 0 || !IsLong(slice, worker, now, &sleeps)) return;
  if (!MayReport(now)) {
    ++unreported_;
    slice.done = true;
  } else if (sleeps) {
    ReportUndisturbed(slice, processor, now);
  } else if (question_ == 0) {
    question_ = SliceProbe::Instance().Ask(tid, &processor.tick, tick, &processor.blocking);
    asked_ = index;
    asked_at_ = now;
    asked_cpu_ = ThreadCpuNs(tid).value_or(0);
  }
}

bool SliceWatch::IsLong(const Slice& slice, const Worker& worker, int64_t now, bool* sleeps) {
  if (now - slice.since < threshold_ns_) return false;
  const pid_t tid = worker.tid.load(std::memory_order_relaxed);
  *sleeps = ThreadSleeps(tid);
  return *sleeps || ThreadCpuNs(tid).value_or(0) - slice.cpu >= threshold_ns_;
}

bool SliceWatch::MayReport(int64_t now) {
  std::erase_if(sent_, [&](int64_t time) { return now - time >= kMinuteNs; });
  return sent_.size() < static_cast<size_t>(reports_a_minute_);
}

// Whether the thread asked has had time to answer, and does not: it blocks the signal, or sleeps
// where none gets through. A thread that waits for a CPU is waited for.
bool SliceWatch::IsSilent(const Worker& worker, int64_t now) const {
  if (now - asked_at_ < kPatienceNs) return false;
  const pid_t tid = worker.tid.load(std::memory_order_relaxed);
  return ThreadCpuNs(tid).value_or(0) - asked_cpu_ >= kPatienceNs || ThreadSleeps(tid);
}

// Takes the answer if there is one, or gives up waiting for it.
void SliceWatch::Collect(Slice& slice, Processor& processor, int64_t now) {
  const Worker& worker = *processor.worker.load(std::memory_order_acquire);
  SliceProbe& probe = SliceProbe::Instance();
  if (const SliceAnswer* answer = probe.Poll(question_)) {
    slice.done = true;
    if (answer->in_task) {
      Report(slice, *answer, now);
      if (answer->seen.tag != nullptr) answer->seen.tag->Unref();
    } else {
      ++unreported_;  // it was over before the signal arrived
    }
    probe.Finish();
    question_ = 0;
  } else if (IsSilent(worker, now) && probe.GiveUp(question_)) {
    question_ = 0;
    if (processor.tick.load(std::memory_order_relaxed) == slice.tick) {
      ReportUndisturbed(slice, processor, now);  // it blocks the signal, say
    }
  }
}

void SliceWatch::Report(const Slice& slice, const SliceAnswer& answer, int64_t now) {
  LongSliceReport report;
  const TaskSighting& seen = answer.seen;
  report.task = {.id = seen.id,
                 .name = seen.name,
                 .tag = seen.tag,
                 .spawner_id = seen.spawner_id,
                 .spawn_pc = seen.spawn_pc,
                 .stack_size = seen.stack_size};
  ShowStack(seen.stack, {.depth = seen.stack.size(), .end = seen.stack_end}, &report.task);
  report.held = std::chrono::nanoseconds(asked_at_ - slice.since);
  Deliver(report, now);
}

// Of a thread that is left alone. The slice may end meanwhile; then what was read is thrown away,
// which the thread sanitizer cannot know.
void SliceWatch::ReportUndisturbed(Slice& slice, Processor& processor, int64_t now) {
  const Worker& worker = *processor.worker.load(std::memory_order_acquire);
  // acquire: Run()
  const ThreadState* const state = worker.thread_state.load(std::memory_order_acquire);
  if (state == nullptr) return;
  const Task* const task = state->current.load(std::memory_order_relaxed);
  // acquire: pairs with the release in Worker::Prepare()
  if (task == nullptr || task->state.load(std::memory_order_acquire) != TaskState::kRunning) return;
  const UnstableReads reads;
  const StackBounds bounds = task->context.stack();
  std::array<char, 63> name;
  std::array<uintptr_t, kFramesOfSleeper> pcs;
  LongSliceReport report = {.held = std::chrono::nanoseconds(now - slice.since), .asleep = true};
  report.task = {.id = task->id,
                 .name = CopyTaskName(*task, name),
                 .spawner_id = task->spawner_id,
                 .spawn_pc = task->spawn_pc,
                 .stack_size = bounds.size()};
  const pid_t tid = worker.tid.load(std::memory_order_relaxed);
  const auto registers = RegistersOfSleeper(tid);
  report.asleep = registers.has_value() || ThreadSleeps(tid);
  if (registers && bounds.Contains(registers->sp)) {
    ShowStack(pcs, WalkStack(*registers, bounds, pcs), &report.task);
  }
  // release, by a read-modify-write that changes nothing: what was read above stays before the
  // second look
  if (processor.tick.fetch_add(0, std::memory_order_acq_rel) != slice.tick ||
      !worker.in_task.load(std::memory_order_relaxed)) {
    return;
  }
  slice.done = true;
  Deliver(report, now);
}

void SliceWatch::Deliver(LongSliceReport& report, int64_t now) {
  report.unreported = std::exchange(unreported_, 0);
  sent_.push_back(now);
  CurrentReporter().OnLongSlice(report);
}

}  // namespace curg::internal
