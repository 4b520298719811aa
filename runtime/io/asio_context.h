// SPDX-License-Identifier: Apache-2.0
//
// AsioContext: Boost.Asio's io_context as the poller sees it.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <atomic>

#include "runtime/io/netpoll.h"

namespace curg::internal {

// Run by whoever is the timekeeper, so by one thread at a time; used by all.
class AsioContext final : public AsioEngine {
 public:
  // That of a scheduler's poller, made at first use. Thread-safe.
  static AsioContext& Of(Netpoll& netpoll);

  explicit AsioContext(Netpoll& netpoll);
  ~AsioContext() override;

  void RunOne(bool block) noexcept override;
  void RunReady() noexcept override;
  bool HasWork() const override;

  Netpoll& netpoll() { return netpoll_; }
  boost::asio::io_context& context() { return context_; }

 private:
  static constexpr int kHandlersMax = 256;  // at a time: what handlers post must not keep the
                                            // worker for ever

  Netpoll& netpoll_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::posix::stream_descriptor own_;  // the poller's own instance
  std::atomic<bool> waits_for_own_{false};  // relaxed, all: the timekeeper's; for others a number
};

}  // namespace curg::internal
