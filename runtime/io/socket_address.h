// SPDX-License-Identifier: Apache-2.0
//
// SocketAddress: where a stream socket listens or connects to.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace curg {

// An IPv4 or IPv6 address with a port, or the path of a local (Unix) socket. No names: dns.h looks
// those up. Thread-compatible, a value.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t size);

  // "127.0.0.1:80", "[::1]:80", "unix:/run/my.socket", and ":80" for all interfaces.
  static absl::StatusOr<SocketAddress> Parse(std::string_view text);
  static SocketAddress Loopback(uint16_t port);

  // As Parse takes it.
  std::string ToString() const;

  int family() const { return storage_.ss_family; }
  uint16_t port() const;  // 0: none
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

}  // namespace curg
