// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "runtime/caller.h"
#include "runtime/fault_handler.h"
#include "runtime/report_options.h"
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
  absl::StatusOr<int> workers = internal::WorkerCount(options.workers);
  if (!workers.ok()) return workers.status();
  internal::Scheduler::Config config = {.workers = *workers,
                                        .stacks_max = options.stacks_max,
                                        .stacks_cached = options.stacks_cached};
  if (options.blocking_max < 1 || options.blocking_max > 65536) {
    return absl::InvalidArgumentError(absl::StrCat("RuntimeOptions::blocking_max is ", options.blocking_max,
                                                   "; choose 1 to 65536"));
  }
  config.blocking_max = options.blocking_max;
  absl::Status size = internal::SlotSizeFor(options.stack_size, &config.slot_size);
  if (!size.ok()) return size;
  absl::StatusOr<internal::ReportOptions> reports = internal::ReportOptionsFor(options);
  if (!reports.ok()) return reports.status();
  internal::InstallFaultHandler();
  auto scheduler = internal::Scheduler::Start(config);
  if (!scheduler.ok()) return scheduler.status();
  return std::unique_ptr<Runtime>(new Runtime(*std::move(scheduler), *reports));
}

Runtime::~Runtime() {
  const internal::Worker* const worker = internal::ThisThread().self;
  if (worker != nullptr && &worker->scheduler == scheduler_.get()) {
    internal::FatalMisuse("ends the runtime that it runs on; do that from outside");
  }
  sysmon_->Stop();
  const int held = scheduler_->Stop(kStopGraceNs);
  if (held == 0) return;
  std::fprintf(stderr,
               "curg: the runtime ends while %d of its workers still run a task that does not come "
               "back; they are left behind\n",
               held);
  sysmon_.release();  // theirs for ever, both
  new std::shared_ptr<internal::Scheduler>(std::move(scheduler_));
}

internal::Scheduler* internal::SchedulerOf(Runtime& runtime) { return runtime.scheduler_.get(); }

RuntimeStats Runtime::Stats() const { return scheduler_->Stats(); }

int Runtime::workers() const { return scheduler_->num_workers(); }

}  // namespace curg
