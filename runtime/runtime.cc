// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "absl/strings/str_cat.h"
#include "runtime/abandoned_tasks.h"
#include "runtime/caller.h"
#include "runtime/fault_handler.h"
#include "runtime/fork_guard.h"
#include "runtime/report_options.h"
#include "runtime/schedule_seed.h"
#include "runtime/scheduler.h"
#include "runtime/sysmon.h"
#include "runtime/worker_count.h"

namespace curg {
namespace {

constexpr int64_t kStopGraceNs = 100'000'000;

}  // namespace

Runtime::Runtime(std::shared_ptr<internal::Scheduler> scheduler,
                 const internal::ReportOptions& reports)
    : scheduler_(std::move(scheduler)),
      sysmon_(std::make_unique<internal::Sysmon>(*scheduler_, reports)) {}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  internal::GuardForks();
  if (absl::Status status = internal::CheckNotForked(); !status.ok()) return status;
  absl::StatusOr<int> workers = internal::WorkerCount(options.workers);
  if (!workers.ok()) return workers.status();
  internal::Scheduler::Config config = {.workers = *workers,
                                        .stacks_max = options.stacks_max,
                                        .stacks_cached = options.stacks_cached};
  if (options.blocking_max < 1 || options.blocking_max > 65536) {
    return absl::InvalidArgumentError(absl::StrCat("RuntimeOptions::blocking_max is ",
                                                   options.blocking_max, "; choose 1 to 65536"));
  }
  config.blocking_max = options.blocking_max;
  config.follow_cpus = !options.virtual_time && !internal::IsWorkerCountFixed(options.workers);
  config.virtual_time = options.virtual_time;
  if (options.virtual_time && config.workers != 1) {
    if (options.workers.has_value()) {
      return absl::InvalidArgumentError(
          "RuntimeOptions::virtual_time goes with one worker; choose workers = 1");
    }
    config.workers = 1;
  }
  absl::StatusOr<uint64_t> seed = internal::ScheduleSeed(options.schedule_seed);
  if (!seed.ok()) return seed.status();
  config.schedule_seed = *seed;
  absl::Status size = internal::SlotSizeFor(options.stack_size, &config.slot_size);
  if (!size.ok()) return size;
  absl::StatusOr<internal::ReportOptions> reports = internal::ReportOptionsFor(options);
  if (!reports.ok()) return reports.status();
  internal::InstallFaultHandler();
  internal::TellScheduleSeed(*seed);
  auto scheduler = internal::Scheduler::Start(config);
  if (!scheduler.ok()) return scheduler.status();
  try {
    auto runtime = std::unique_ptr<Runtime>(new Runtime(*scheduler, *reports));
    runtime->report_abandoned_ = options.report_abandoned;
    return runtime;
  } catch (const std::exception& error) {  // sysmon's task, or memory, is refused
    (*scheduler)->Stop(kStopGraceNs);
    return absl::ResourceExhaustedError(absl::StrCat("the runtime does not begin: ", error.what()));
  }
}

void Runtime::CheckCaller() const {
  const internal::Worker* const worker = internal::ThisThread().self;
  if (worker != nullptr && &worker->scheduler == scheduler_.get()) {
    internal::FatalMisuse("ends the runtime that it runs on; do that from outside");
  }
}

// Ends the workers; returns how many are left behind, for good, and the scheduler with them.
int Runtime::End() {
  ended_ = true;
  if (internal::InForkedChild()) {  // none of the threads is here
    (void)sysmon_.release();
    new std::shared_ptr<internal::Scheduler>(scheduler_);
    return 0;
  }
  sysmon_->Stop();
  const int held = scheduler_->Stop(kStopGraceNs);
  if (held == 0) return 0;
  std::fprintf(stderr,
               "curg: the runtime ends while %d of its workers still run a task that does not come "
               "back; they are left behind\n",
               held);
  (void)sysmon_.release();  // theirs for ever, both
  new std::shared_ptr<internal::Scheduler>(scheduler_);
  return held;
}

Runtime::~Runtime() {
  if (ended_) return;
  CheckCaller();
  End();
  if (report_abandoned_ && !internal::InForkedChild()) internal::ReportAbandonedTasks(*scheduler_);
}

bool Runtime::WaitForTasks(Deadline deadline) const {
  int64_t pause_us = 50;
  while (scheduler_->TasksAlive() > 0) {
    const int64_t left_ns = deadline.nanoseconds() - internal::RealNow();
    if (left_ns <= 0) return false;
    usleep(static_cast<useconds_t>(std::min(pause_us, left_ns / 1000 + 1)));
    pause_us = std::min<int64_t>(2 * pause_us, 5'000);
  }
  return true;
}

ShutdownReport Runtime::Shutdown(Deadline deadline, std::chrono::nanoseconds grace) {
  CheckCaller();
  if (ended_) internal::FatalMisuse("shuts a runtime down that has ended already");
  ShutdownReport report;
  if (!WaitForTasks(deadline)) {
    scheduler_->stop_source().request_stop();
    if (!WaitForTasks(Deadline::After(grace))) report.abandoned = scheduler_->TasksAlive();
  }
  report.workers_held = End();
  if (report.abandoned > 0) internal::ReportAbandonedTasks(*scheduler_);
  return report;
}

std::stop_token Runtime::stop_token() const { return scheduler_->stop_source().get_token(); }

std::stop_token RuntimeStopToken() {
  const internal::Task* const task = internal::CurrentTask();
  return task != nullptr ? task->scheduler->stop_source().get_token() : std::stop_token();
}

internal::Scheduler* internal::SchedulerOf(Runtime& runtime) { return runtime.scheduler_.get(); }

RuntimeStats Runtime::Stats() const { return scheduler_->Stats(); }

int Runtime::workers() const { return scheduler_->limit(); }

}  // namespace curg
