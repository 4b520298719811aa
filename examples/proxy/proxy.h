// SPDX-License-Identifier: Apache-2.0
//
// Proxy: what is done with one connection: the bytes of each side go to the other.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>

#include "runtime/io/socket_address.h"
#include "runtime/io/tcp.h"

namespace curg::examples {

struct ProxyOptions {
  SocketAddress upstream = {};
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);
  // A connection on which nothing moves in either way for so long is closed.
  std::chrono::nanoseconds idle_timeout = std::chrono::minutes(5);
};

struct ProxyCounts {
  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> failed{0};       // upstream not reached, resets, time-outs
  std::atomic<int64_t> to_upstream{0};  // bytes
  std::atomic<int64_t> to_client{0};
};

// Thread-safe.
class Proxy {
 public:
  explicit Proxy(const ProxyOptions& options) : options_(options) {}

  // Connects to the upstream and carries bytes both ways until both sides have ended. A side that
  // ends its writing still gets what the other has to say. Who does not read stops the other from
  // writing: at most one buffer is kept for each way. `abort` cuts the connection. Blocks: the
  // task.
  void Serve(TcpStream client, const std::stop_token& abort);

  const ProxyCounts& counts() const { return counts_; }

 private:
  struct Activity;

  bool Pump(TcpStream& from, TcpStream& to, std::atomic<int64_t>& bytes, Activity& activity,
            const std::stop_token& cut);

  const ProxyOptions options_;
  ProxyCounts counts_;
};

}  // namespace curg::examples
