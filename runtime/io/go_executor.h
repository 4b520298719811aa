// SPDX-License-Identifier: Apache-2.0
//
// GoExecutor: an executor of Boost.Asio's that runs each function as a task of its own. With it
// handlers that stay plain callables have labels, a name and a stack, and may block:
//
//   socket.async_read_some(buffer, boost::asio::bind_executor(curg::GoExecutor(), [&](error_code
//   error, size_t n) {
//     curg::SleepFor(1ms);  // a task: with the labels of the one that made the executor
//   }));
//   boost::asio::post(curg::GoExecutor({.name = "flush"}), Flush);
//
// It costs a spawn each time. Without it a handler runs on a worker, on no task: no labels, and it
// must not block.
#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "runtime/options.h"
#include "runtime/runtime.h"
#include "runtime/spawn.h"
#include "runtime/tag.h"

namespace curg {

// A value, cheap to copy. Thread-safe. It must not be used when its runtime is gone.
class GoExecutor {
 public:
  // Tasks of the calling task's runtime, with the labels that task has now, or those of the options
  // (an empty TagRef: none). Requires: a task.
  explicit GoExecutor(const TaskOptions& options = {});
  // Tasks of `runtime`; the labels are the caller's, or those of the options.
  explicit GoExecutor(Runtime& runtime, const TaskOptions& options = {});

  // Starts the task. What it throws is dropped, as a detached task's is. Throws
  // absl::BadStatusOrAccess if the task is refused (Go): from a handler of Asio's, that ends the
  // process. Blocks: nothing.
  template <typename Fn>
  void execute(Fn&& fn) const {
    const TaskOptions options = {
        .name = state_->name, .stack_size = state_->stack_size, .tag = state_->tag};
    internal::Spawn(state_->scheduler, options, std::forward<Fn>(fn)).value().Detach();
  }

  boost::asio::execution_context& query(boost::asio::execution::context_t) const;
  static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) {
    return boost::asio::execution::blocking.never;
  }

  friend bool operator==(const GoExecutor&, const GoExecutor&) = default;

 private:
  struct State {
    internal::Scheduler* scheduler;
    std::string name;
    size_t stack_size;
    TagRef tag;
  };

  GoExecutor(internal::Scheduler& scheduler, const TaskOptions& options);

  std::shared_ptr<const State> state_;
};

}  // namespace curg
