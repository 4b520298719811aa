// SPDX-License-Identifier: Apache-2.0
//
// IoExecutor: the executor to make Boost.Asio's objects with, so that the runtime runs them.
//
//   boost::asio::ip::tcp::socket socket(curg::IoExecutor());
//
// There is one io_context a runtime, made when it is first asked for. Workers run it: an idle one
// waits in it, busy ones look at it now and then. Handlers given to Asio as plain callables run on
// a worker, but on no task: they have no labels, not even those of the task that started the
// operation, they must not block, and an exception that leaves one ends the process. UseTask
// (use_task.h) needs none; one bound to a GoExecutor (go_executor.h) is a task, with labels.
//
// What was made with it must be gone before the runtime is. What is still under way when the
// runtime ends is dropped.
#pragma once

#include <boost/asio/io_context.hpp>

#include "runtime/runtime.h"

namespace curg {

// Of the runtime the calling task belongs to; of `runtime`.
// Thread-safe. Blocks: nothing.
boost::asio::io_context::executor_type IoExecutor();
boost::asio::io_context::executor_type IoExecutor(Runtime& runtime);

}  // namespace curg
