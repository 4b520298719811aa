// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/go_executor.h"

#include "runtime/caller.h"
#include "runtime/current_tag.h"
#include "runtime/io/asio_context.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"

namespace curg {
namespace {

internal::Scheduler& SchedulerOfTask() {
  const internal::Task* const task = internal::CurrentTask();
  if (task == nullptr)
    internal::FatalMisuse("makes a GoExecutor outside a runtime; say which: GoExecutor(runtime)");
  return *task->scheduler;
}

}  // namespace

GoExecutor::GoExecutor(internal::Scheduler& scheduler, const TaskOptions& options)
    : state_(std::make_shared<const State>(State{
          .scheduler = &scheduler,
          .name = std::string(options.name),
          .stack_size = options.stack_size,
          .tag = options.tag.has_value() ? *options.tag : CurrentTag(),
      })) {}

GoExecutor::GoExecutor(const TaskOptions& options) : GoExecutor(SchedulerOfTask(), options) {}

GoExecutor::GoExecutor(Runtime& runtime, const TaskOptions& options)
    : GoExecutor(*internal::SchedulerOf(runtime), options) {}

boost::asio::execution_context& GoExecutor::query(boost::asio::execution::context_t) const {
  return internal::AsioContext::Of(internal::Netpoll::Of(*state_->scheduler)).context();
}

}  // namespace curg
