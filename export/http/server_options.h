// SPDX-License-Identifier: Apache-2.0
//
// DebugServerOptions: what can be chosen when a debug server starts.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace curg {

struct DebugServerOptions {
  // An IP address. "0.0.0.0" and "::" are all of the machine's; give a bearer token then.
  std::string address = "127.0.0.1";
  uint16_t port = 6060;  // 0: a free one

  // Not empty: requests need "Authorization: Bearer TOKEN". (Also taken as a password with any user
  // name, as in http://any:TOKEN@host:port/, which `go tool pprof` can send.)
  std::string bearer_token = {};

  // More connections than these take the place of the one that has been waiting for a request
  // longest; when all are being answered, they get status 503.
  int connections_max = 256;
  size_t header_bytes_max = 64 << 10;  // more: status 431
  size_t body_bytes_max = 1 << 20;     // more: status 413
  // From a request's first byte to its last; later: status 408. Also how long a client may take to
  // read the next 64 KiB of an answer.
  std::chrono::nanoseconds request_timeout = std::chrono::seconds(10);
  // Without a request, a connection is closed after this.
  std::chrono::nanoseconds idle_timeout = std::chrono::seconds(60);
};

}  // namespace curg
