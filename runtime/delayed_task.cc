// SPDX-License-Identifier: Apache-2.0
#include "runtime/delayed_task.h"

#include <mutex>
#include <stdexcept>
#include <utility>

#include "runtime/coarse_clock.h"
#include "runtime/rearmable_timer.h"
#include "runtime/roll_call.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"

namespace curg {
namespace internal {

class DelayedStart final : public RearmableTimer {
 public:
  explicit DelayedStart(Task* task) : RearmableTimer(task->scheduler), task_(task) {}

  void Start(Deadline when) {
    std::lock_guard guard(lock());
    task_->since = CoarseClock::Now();
    // release: pairs with RollCaller
    task_->state.store(TaskState::kDelayed, std::memory_order_release);
    Arm(when.nanoseconds());
  }

  bool Cancel() {
    Task* task;
    {
      std::lock_guard guard(lock());
      if (!Disarm()) return false;
      task = std::exchange(task_, nullptr);
    }
    // A dump that has read it answers for itself, or is answered now: its tag is about to go.
    task->state.store(TaskState::kNew, std::memory_order_release);  // release: pairs with
                                                                    // RollCaller
    RollCall::BeforeResume(*task);
    BodyOf(task).Drop();
    DropNewTask(task);
    return true;
  }

  bool Reset(Deadline when) {
    std::lock_guard guard(lock());
    if (!Disarm()) return false;
    Arm(when.nanoseconds());
    return true;
  }

  bool pending() {
    std::lock_guard guard(lock());
    return armed();
  }

  void Drop() { Abandon(); }

 private:
  void OnDue(int64_t) override { StartTask(std::exchange(task_, nullptr)); }

  Task* task_;  // guarded by lock(); null once started or cancelled
};

void AbandonDelayedStart::operator()(DelayedStart* start) const { start->Drop(); }

DelayedStartPtr StartTaskAt(Task* task, Deadline when) {
  DelayedStartPtr start(new DelayedStart(task));
  Detach(task);
  start->Start(when);
  return start;
}

}  // namespace internal

bool DelayedTask::Cancel() { return start_ != nullptr && start_->Cancel(); }

bool DelayedTask::ResetAt(Deadline when) { return start_ != nullptr && start_->Reset(when); }

bool DelayedTask::pending() const { return start_ != nullptr && start_->pending(); }

}  // namespace curg
