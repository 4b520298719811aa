// SPDX-License-Identifier: Apache-2.0
//
// Connection: one client of the debug server, from its first request to its last.
#pragma once

#include <atomic>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

#include "absl/status/status.h"
#include "export/http/beast_handler.h"
#include "export/http/debug_pages.h"
#include "export/http/server_options.h"
#include "runtime/deadline.h"
#include "runtime/io/tcp.h"

namespace curg::internal {

// Its task reads a request, has a page answer it, and writes the answer. While a page is at work, a
// second task reads ahead (AnswerWatched), which is how the end of the client is noticed; the
// buffer is that task's then.
class Connection {
 public:
  // `stream` belongs to the calling task's scheduler.
  Connection(TcpStream stream, const DebugServerOptions& options, const DebugPages& pages);

  // Answers requests until the client leaves, asks for the end, makes a mistake or is too slow.
  // Blocks: the task.
  void Serve();

  // Answers status 503, whatever the request. Blocks: the task, for up to a second.
  void Refuse();

  // Ends Serve soon. Thread-safe, while the connection lives. Blocks: nothing.
  void Close();

  // Since when it has been waiting for a whole request, on the steady clock; INT64_MAX while one is
  // being answered. Thread-safe.
  int64_t waiting_since() const { return waiting_since_.load(std::memory_order_relaxed); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // False: there is none, and what is to be said about it has been said.
  bool ReadRequest(BeastRequest& request);
  // OUT_OF_RANGE: the client sends no more. Others are TcpStream's.
  absl::Status Receive(Deadline deadline, const std::stop_token& stop);
  bool Answer(const BeastRequest& request);
  bool AnswerWatched(const BeastRequest& request);
  bool Authorized(const BeastRequest& request) const;
  bool Send(const DebugResponse& response, const BeastRequest& request);
  bool SendStream(const DebugResponse& response, BeastResponse header);
  bool Write(std::string_view bytes);
  void Fail(int status, std::string_view message);
  void Linger();
  void ReadAhead(const std::stop_token& stop);

  TcpStream stream_;
  const DebugServerOptions& options_;
  const DebugPages& pages_;
  boost::beast::flat_buffer buffer_;
  bool input_ended_ = false;  // whoever reads next need not try
  std::stop_source stop_;     // the client left, or the server ends
  std::atomic<int64_t> waiting_since_;
};

}  // namespace curg::internal
