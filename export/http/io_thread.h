// SPDX-License-Identifier: Apache-2.0
//
// IoThread: where the debug server waits for its sockets, and how a task waits there.
//
// The reactor has a thread of its own, so that the server answers while every worker is held, and
// waiting for sockets never mixes with the program's own. That thread does nothing but start and
// finish operations: whatever takes time is done in tasks.
//
// Invariant  A socket, acceptor or timer is touched on the reactor's thread only. Tasks post what is to
//            be done there, and park until it is.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <thread>

#include "runtime/sync/semaphore.h"

namespace curg::internal {

struct IoResult {
  boost::system::error_code error;
  size_t bytes = 0;
  bool timed_out = false;
};

class IoThread {
 public:
  IoThread();
  // Every operation must have ended. Blocks: the thread, briefly.
  ~IoThread();

  boost::asio::io_context& context() { return context_; }

  // Calls fn() on the reactor's thread and returns when it has returned. Blocks: the task.
  template <typename Fn>
  void Do(Fn fn) {
    Semaphore done(0);
    boost::asio::post(context_, [&] {
      fn();
      done.Release();
    });
    done.Acquire();
  }

  // Starts one operation of `io` (a socket or acceptor) by start(handler), and waits for its end,
  // cancelling everything of `io` after `timeout`. An operation of several steps may survive that
  // between two of them: start single steps. Blocks: the task.
  template <typename Io, typename Start>
  IoResult Wait(Io& io, std::chrono::nanoseconds timeout, Start start) {
    IoResult result;
    Semaphore done(0);
    int pending = 2;
    boost::asio::steady_timer timer(context_);
    const auto finished = [&] {
      if (--pending == 0) done.Release();
    };
    boost::asio::post(context_, [&] {
      timer.expires_after(timeout);
      timer.async_wait([&](boost::system::error_code cancelled) {
        if (!cancelled) {
          result.timed_out = true;
          boost::system::error_code ignored;
          io.cancel(ignored);
        }
        finished();
      });
      start([&](boost::system::error_code error, size_t bytes = 0) {
        result.error = error;
        result.bytes = bytes;
        timer.cancel();
        finished();
      });
    });
    done.Acquire();
    return result;
  }

 private:
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace curg::internal
