// SPDX-License-Identifier: Apache-2.0
//
// What a page of the debug server is made of: a request comes in, a response goes out. Plain
// values, so that a page needs neither a socket nor an HTTP library, and a test calls it as a
// function.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "export/http/url_query.h"

namespace curg {

// Thread-compatible, as any value.
struct DebugRequest {
  // What curl would send for "/debug/pprof/profile?seconds=5", for tests and programs of their own.
  static DebugRequest Get(std::string_view target);

  std::string method = "GET";
  std::string path;       // unescaped, without the query
  std::string raw_query;  // what follows the "?"
  UrlQuery query;         // the same, taken apart
  std::string body;
  // Requested when nobody waits for the answer any longer: the client left, the server ends. A page
  // that waits should wait for this too, and then return whatever it likes.
  std::stop_token stop = {};
};

// A part of a body that is made piece by piece. False: the client is gone, make no more of it. May
// be called from any task or thread, by one at a time.
// Blocks: the task or thread, while the client reads slower than the page writes.
using DebugSink = std::function<bool(std::string_view piece)>;

// Thread-compatible, as any value.
struct DebugResponse {
  static DebugResponse Text(std::string body);  // text/plain
  static DebugResponse Html(std::string body);  // text/html
  static DebugResponse Json(std::string body);  // application/json
  // application/octet-stream, to be saved under `filename`.
  static DebugResponse File(std::string_view filename, std::string body);
  // As Go's: text/plain, "X-Go-Pprof: 1", and a newline after `message`.
  static DebugResponse Error(int status, std::string_view message);
  // INVALID_ARGUMENT is 400, NOT_FOUND 404, UNAVAILABLE and RESOURCE_EXHAUSTED 503, others 500.
  static DebugResponse Error(const absl::Status& status);
  static DebugResponse Redirect(std::string_view location);

  void SetHeader(std::string_view name, std::string_view value);
  // The first value of a header, whatever its case; empty when it is not there.
  std::string_view Header(std::string_view name) const;
  // The body, wherever it is: for tests.
  std::string WholeBody() const;

  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  // Set: the body is what this writes to the sink, sent in chunks as it comes. Called once.
  std::function<void(const DebugSink&)> stream = {};
};

// Called in a task of the debug server, on the service worker: it may wait (Sleep, channels, Join),
// but computes for more than a millisecond only in internal::OnLargeStack (export/large_stack.h),
// and runs no code of the user's. Any number of calls at the same time. An exception becomes status
// 500.
using DebugHandler = std::function<DebugResponse(const DebugRequest&)>;

}  // namespace curg
