// SPDX-License-Identifier: Apache-2.0
//
// Connection: one client of the debug server, from its first request to its last.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string_view>

#include "export/http/beast_handler.h"
#include "export/http/debug_pages.h"
#include "export/http/io_thread.h"
#include "export/http/server_options.h"

namespace curg::internal {

// Serve runs in a task, and everything but Close, Drop and waiting_since is its own. While a page is
// making its answer the reactor's thread reads ahead (Watch), which is how the end of the client is
// noticed; the buffer is the reactor's then, until Unwatch.
class Connection {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  Connection(IoThread& io, Socket socket, const DebugServerOptions& options,
             const DebugPages& pages);

  // Answers requests until the client leaves, asks for the end, makes a mistake or is too slow.
  // Blocks: the task.
  void Serve();

  // Answers the first request by status 503, whatever it is.
  void Refuse();

  // Ends Serve soon. Thread-safe, while the connection lives. Blocks: the task.
  void Close();

  // Since when it has been waiting for a whole request, on the steady clock; INT64_MAX while one is
  // being answered. Thread-safe.
  int64_t waiting_since() const { return waiting_since_.load(std::memory_order_relaxed); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // False: there is none, and what is to be said about it has been said.
  bool ReadRequest(BeastRequest& request);
  IoResult Receive(std::chrono::nanoseconds timeout);
  bool Answer(const BeastRequest& request);
  bool Authorized(const BeastRequest& request) const;
  DebugResponse Handle(const BeastRequest& request);
  bool Send(const DebugResponse& response, const BeastRequest& request);
  bool SendStream(const DebugResponse& response, BeastResponse header);
  bool Write(std::string_view bytes);
  void Fail(int status, std::string_view message);
  void Linger();
  void CloseSocket();

  void Watch();
  void ReadAhead();
  void Unwatch();

  IoThread& io_;
  Socket socket_;
  const DebugServerOptions& options_;
  const DebugPages& pages_;
  boost::beast::flat_buffer buffer_;
  std::stop_source stop_;  // of the whole connection: its client left, or the server ends
  std::atomic<int64_t> waiting_since_;
  // Nothing more will come. Asio must not be asked again: a read after the one that found the end waits
  // for an event that edge-triggered epoll has already told.
  bool input_ended_ = false;

  // The reactor's thread's.
  bool watching_ = false;
  bool reading_ahead_ = false;
  Semaphore* unwatched_ = nullptr;
};

}  // namespace curg::internal
