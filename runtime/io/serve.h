// SPDX-License-Identifier: Apache-2.0
//
// Serve: the accept loop.
//
//   curg::Serve(listener, {.connections_max = 10'000}, [](curg::TcpStream stream) { Answer(stream);
//   }, stop);
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "absl/status/status.h"
#include "runtime/io/tcp.h"
#include "runtime/options.h"
#include "runtime/tag.h"

namespace curg {

struct ServeOptions {
  // Of each connection's task. The accept loop's labels are not a connection's: its task has none,
  // unless told; std::nullopt inherits them.
  TaskOptions task = {.tag = TagRef()};

  // So many connections at a time; further ones wait in the listener's backlog. 0: no limit.
  int64_t connections_max = 0;

  // Hears when a connection cannot be accepted for want of file descriptors or memory, or its task
  // is refused (RESOURCE_EXHAUSTED), and of exceptions that leave a handler (INTERNAL). Null: the
  // first of a minute is printed on standard error. Called on tasks, also by several at a time.
  std::function<void(const absl::Status&)> on_trouble = {};
};

// Accepts connections until a stop is requested, and starts a task for each that calls
// `handler(stream)`. Where resources are exhausted it tries again after a while (5 ms at first, 1 s
// at most): what could not be accepted waits, nothing is lost. Returns when all connections' tasks
// have ended: OK after a stop, else why there is nothing more to accept.
// Blocks: the task.
absl::Status Serve(TcpListener& listener, const ServeOptions& options,
                   const std::function<void(TcpStream)>& handler, const std::stop_token& stop = {});

}  // namespace curg
