// SPDX-License-Identifier: Apache-2.0
#include "export/http/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <sstream>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "runtime/deadline.h"

namespace curg::internal {
namespace {

namespace asio = ::boost::asio;
namespace http = ::boost::beast::http;
using boost::system::error_code;

constexpr size_t kReceiveBytes = 4096;
constexpr size_t kSendBytes = 64 << 10;
constexpr int64_t kAnswering = INT64_MAX;

int64_t Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int StatusOf(error_code error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::body_limit) return 413;
  return 400;
}

// Takes the same time wherever they differ.
bool SameSecret(absl::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size() && !b.empty(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i % b.size()]);
  }
  return difference == 0;
}

// Start line and headers, as they go over the wire.
std::string HeaderText(const BeastResponse& header) {
  std::ostringstream text;
  text << header.base();
  return text.str();
}

}  // namespace

Connection::Connection(IoThread& io, Socket socket, const DebugServerOptions& options,
                       const DebugPages& pages)
    : io_(io),
      socket_(std::move(socket)),
      options_(options),
      pages_(pages),
      waiting_since_(Now()) {
  error_code ignored;
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
}

void Connection::Serve() {
  BeastRequest request;
  while (ReadRequest(request) && Answer(request) && request.keep_alive()) continue;
  CloseSocket();
}

void Connection::Refuse() {
  Fail(503, "The debug server has too many clients; try again.");
  CloseSocket();
}

void Connection::CloseSocket() {
  io_.Do([this] {
    error_code ignored;
    socket_.close(ignored);
  });
}

void Connection::Close() {
  io_.Do([this] {
    error_code ignored;
    // The operations under way fail, and so do those to come.
    socket_.shutdown(Socket::shutdown_both, ignored);
    stop_.request_stop();
  });
}

IoResult Connection::Receive(std::chrono::nanoseconds timeout) {
  if (input_ended_) return {.error = asio::error::eof};
  const IoResult result = io_.Wait(socket_, timeout, [this](auto done) {
    socket_.async_read_some(buffer_.prepare(kReceiveBytes), done);
  });
  buffer_.commit(result.bytes);
  input_ended_ = result.error && !result.timed_out;
  return result;
}

bool Connection::ReadRequest(BeastRequest& request) {
  waiting_since_.store(Now(), std::memory_order_relaxed);
  Parser parser;
  parser.eager(true);
  parser.header_limit(static_cast<uint32_t>(options_.header_bytes_max));
  parser.body_limit(options_.body_bytes_max);
  Deadline deadline = Deadline::Never();  // from the first byte on
  while (true) {
    error_code error;
    if (buffer_.size() > 0) {
      if (deadline.is_never()) deadline = Deadline::After(options_.request_timeout);
      const size_t taken = parser.put(buffer_.data(), error);
      buffer_.consume(taken);
      if (error && error != http::error::need_more) {
        Fail(StatusOf(error), error.message());
        return false;
      }
      if (parser.is_done()) break;
      if (!error && taken > 0 && buffer_.size() > 0) continue;
    }
    const bool begun = !deadline.is_never();
    const auto left = std::chrono::nanoseconds(deadline.nanoseconds() - Now());
    const IoResult result = Receive(begun ? left : options_.idle_timeout);
    if (!result.error) continue;
    if (begun && result.timed_out) Fail(408, "the request took too long");
    if (begun && result.error == asio::error::eof) Fail(400, "the request is incomplete");
    return false;
  }
  waiting_since_.store(kAnswering, std::memory_order_relaxed);
  request = parser.release();
  return true;
}

bool Connection::Authorized(const BeastRequest& request) const {
  if (options_.bearer_token.empty()) return true;
  const boost::beast::string_view header = request[http::field::authorization];
  const absl::string_view given(header.data(), header.size());
  if (given.substr(0, 7) == "Bearer ") {
    return SameSecret(options_.bearer_token, {given.data() + 7, given.size() - 7});
  }
  std::string decoded;
  if (given.substr(0, 6) != "Basic " || !absl::Base64Unescape(given.substr(6), &decoded)) {
    return false;
  }
  const size_t colon = decoded.find(':');
  return colon != std::string::npos &&
         SameSecret(options_.bearer_token, std::string_view(decoded).substr(colon + 1));
}

bool Connection::Answer(const BeastRequest& request) {
  if (!Authorized(request)) {
    DebugResponse response = DebugResponse::Error(401, "This debug server wants a bearer token.");
    response.SetHeader("WWW-Authenticate", "Bearer");
    return Send(response, request);
  }
  Watch();
  const absl::Cleanup unwatch = [this] { Unwatch(); };
  return Send(pages_.Handle(FromBeast(request, stop_.get_token())), request);
}

bool Connection::Send(const DebugResponse& response, const BeastRequest& request) {
  BeastResponse header = HeaderOf(response, request);
  header.set(http::field::server, "curg");
  const bool head = request.method() == http::verb::head;
  if (response.stream && !head && request.version() >= 11) {
    return SendStream(response, std::move(header));
  }
  const std::string body = response.WholeBody();
  header.content_length(body.size());
  std::string text = HeaderText(header);
  if (!head) text += body;
  return Write(text);
}

bool Connection::SendStream(const DebugResponse& response, BeastResponse header) {
  header.chunked(true);
  std::string pending = HeaderText(header);
  std::string chunk;
  bool ok = true;
  const auto flush = [&] {
    if (!chunk.empty()) absl::StrAppend(&pending, absl::Hex(chunk.size()), "\r\n", chunk, "\r\n");
    chunk.clear();
    ok = ok && !stop_.stop_requested() && Write(pending);
    pending.clear();
    return ok;
  };
  try {
    response.stream([&](std::string_view piece) {
      chunk.append(piece);
      return chunk.size() < kSendBytes ? ok && !stop_.stop_requested() : flush();
    });
  } catch (...) {
    return false;  // without the last chunk the client knows that something is missing
  }
  if (!flush()) return false;
  return Write("0\r\n\r\n");
}

bool Connection::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kSendBytes);
    const IoResult result = io_.Wait(socket_, options_.request_timeout, [&](auto done) {
      socket_.async_write_some(asio::buffer(piece.data(), piece.size()), done);
    });
    if (result.error) return false;
    bytes.remove_prefix(result.bytes);
  }
  return true;
}

void Connection::Fail(int status, std::string_view message) {
  const DebugResponse response = DebugResponse::Error(status, message);
  BeastRequest none(http::verb::get, "/", 11);
  none.keep_alive(false);
  if (Send(response, none)) Linger();
}

// A close with input unread would reset the connection, and the client might never see why.
void Connection::Linger() {
  io_.Do([this] {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  });
  const Deadline deadline = Deadline::After(std::chrono::seconds(1));
  size_t read = 0;
  while (read < options_.body_bytes_max) {
    buffer_.clear();
    const auto left = std::chrono::nanoseconds(deadline.nanoseconds() - Now());
    if (left.count() <= 0 || Receive(left).error) return;
    read += buffer_.size();
  }
}

void Connection::Watch() {
  io_.Do([this] {
    watching_ = true;
    ReadAhead();
  });
}

void Connection::ReadAhead() {
  // A client that sends this much more before it has its answer is no longer listened to.
  if (buffer_.size() >= options_.header_bytes_max) return;
  reading_ahead_ = true;
  socket_.async_read_some(buffer_.prepare(kReceiveBytes), [this](error_code error, size_t bytes) {
    reading_ahead_ = false;
    buffer_.commit(bytes);
    input_ended_ = error && error != asio::error::operation_aborted;
    if (input_ended_) stop_.request_stop();
    if (unwatched_ != nullptr) return unwatched_->Release();
    if (watching_ && !error) ReadAhead();
  });
}

void Connection::Unwatch() {
  Semaphore done(0);
  io_.Do([this, &done] {
    watching_ = false;
    if (!reading_ahead_) return done.Release();
    unwatched_ = &done;
    error_code ignored;
    socket_.cancel(ignored);
  });
  done.Acquire();
  unwatched_ = nullptr;
}

}  // namespace curg::internal
