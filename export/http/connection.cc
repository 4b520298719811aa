// SPDX-License-Identifier: Apache-2.0
#include "export/http/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "runtime/join_handle.h"
#include "runtime/service.h"
#include "runtime/sync/channel.h"

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

// Sends the body, some 64 KiB at a time. False: the client is gone, or the page failed.
bool MakeChunks(const DebugResponse& response, Channel<std::string>& chunks,
                const std::stop_token& gone) try {
  std::string chunk;
  const auto flush = [&] {
    return chunk.empty() || chunks.Send(std::exchange(chunk, {}), gone) == WaitStatus::kOk;
  };
  response.stream([&](std::string_view piece) {
    chunk.append(piece);
    return !gone.stop_requested() && (chunk.size() < kSendBytes || flush());
  });
  return flush();
} catch (...) {
  return false;
}

}  // namespace

Connection::Connection(TcpStream stream, const DebugServerOptions& options, const DebugPages& pages)
    : stream_(std::move(stream)), options_(options), pages_(pages), waiting_since_(Now()) {}

void Connection::Serve() {
  BeastRequest request;
  while (ReadRequest(request) && Answer(request) && request.keep_alive()) continue;
}

void Connection::Refuse() { Fail(503, "The debug server has too many clients; try again."); }

void Connection::Close() {
  waiting_since_.store(kAnswering, std::memory_order_relaxed);  // nobody need end it again
  stop_.request_stop();
  stream_.Shutdown();
}

absl::Status Connection::Receive(Deadline deadline, const std::stop_token& stop) {
  if (input_ended_) return absl::OutOfRangeError("no more input");
  const asio::mutable_buffer room = buffer_.prepare(kReceiveBytes);
  const absl::StatusOr<size_t> size =
      stream_.Read({static_cast<char*>(room.data()), room.size()}, deadline, stop);
  if (!size.ok()) return size.status();
  buffer_.commit(*size);
  input_ended_ = *size == 0;
  return input_ended_ ? absl::OutOfRangeError("no more input") : absl::OkStatus();
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
    const absl::Status status =
        Receive(begun ? deadline : Deadline::After(options_.idle_timeout), stop_.get_token());
    if (status.ok()) continue;
    if (begun && absl::IsDeadlineExceeded(status)) Fail(408, "the request took too long");
    if (begun && absl::IsOutOfRange(status)) Fail(400, "the request is incomplete");
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
  if (Authorized(request)) return AnswerWatched(request);
  DebugResponse response = DebugResponse::Error(401, "This debug server wants a bearer token.");
  response.SetHeader("WWW-Authenticate", "Bearer");
  return Send(response, request);
}

bool Connection::AnswerWatched(const BeastRequest& request) {
  std::stop_source unwatch;
  auto watcher = GoService("debug watch", [this, stop = unwatch.get_token()] { ReadAhead(stop); });
  const absl::Cleanup join = [&] {
    unwatch.request_stop();
    watcher.Join();
  };
  return Send(pages_.Handle(FromBeast(request, stop_.get_token())), request);
}

void Connection::ReadAhead(const std::stop_token& stop) {
  // A client that sends more than this before it has its answer is no longer listened to.
  while (buffer_.size() < options_.header_bytes_max) {
    const absl::Status status = Receive(Deadline::Never(), stop);
    if (status.ok()) continue;
    if (!stop.stop_requested()) stop_.request_stop();
    return;
  }
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

// The page makes the body in a task of its own, since it may do so on a thread that has no place in
// the poller (OnLargeStack); what it makes comes here through a channel.
bool Connection::SendStream(const DebugResponse& response, BeastResponse header) {
  header.chunked(true);
  Channel<std::string> chunks(1);
  std::stop_source gone;
  bool whole = false;
  auto maker = GoService("debug stream", [&response, &chunks, &gone, &whole] {
    whole = MakeChunks(response, chunks, gone.get_token());
    chunks.Close();
  });
  bool ok = Write(HeaderText(header));
  while (std::optional<std::string> chunk = chunks.Receive()) {
    ok = ok && !stop_.stop_requested() &&
         Write(absl::StrCat(absl::Hex(chunk->size()), "\r\n", *chunk, "\r\n"));
    if (!ok) gone.request_stop();
  }
  maker.Join();
  // Without the last chunk the client knows that something is missing.
  return ok && whole && Write("0\r\n\r\n");
}

bool Connection::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kSendBytes);
    if (!stream_.Write(piece, Deadline::After(options_.request_timeout)).ok()) return false;
    bytes.remove_prefix(piece.size());
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
  if (!stream_.ShutdownWrite().ok()) return;
  const Deadline deadline = Deadline::After(std::chrono::seconds(1));
  for (size_t read = 0; read < options_.body_bytes_max; read += buffer_.size()) {
    buffer_.clear();
    if (!Receive(deadline, stop_.get_token()).ok()) return;
  }
}

}  // namespace curg::internal
