// SPDX-License-Identifier: Apache-2.0
//
// SilentPort: a port on which nobody listens, for tests.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/io/socket_address.h"

namespace curg {

// Taken while it lives, so that nobody else comes to listen there either.
class SilentPort {
 public:
  SilentPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(name);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&name), size), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size), 0);
    address_ = SocketAddress::Loopback(ntohs(name.sin_port));
  }
  ~SilentPort() { close(fd_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  const SocketAddress& address() const { return address_; }

 private:
  const int fd_;
  SocketAddress address_;
};

}  // namespace curg
