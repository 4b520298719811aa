// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace curg {
namespace {

absl::Status Refused(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("not an address: \"", std::string(text),
                   "\" (want 127.0.0.1:80, [::1]:80, :80 or unix:/path)"));
}

template <typename Address>
SocketAddress AddressOf(const Address& address) {
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

absl::StatusOr<SocketAddress> ParsePath(std::string_view path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the path of a local socket has 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return AddressOf(address);
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t size)
    : size_(std::min<socklen_t>(size, sizeof(storage_))) {
  std::memcpy(&storage_, address, size_);
}

SocketAddress SocketAddress::Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return AddressOf(address);
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(std::string_view text) {
  if (text.starts_with("unix:")) return ParsePath(text.substr(5));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Refused(text);
  const std::string_view number = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port);
  if (error != std::errc() || end != number.data() + number.size()) return Refused(text);
  std::string host(text.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1) return Refused(text);
    return AddressOf(address);
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (!host.empty() && inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    return Refused(text);
  return AddressOf(address);
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  return 0;
}

std::string SocketAddress::ToString() const {
  char host[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET:
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, host,
                sizeof(host));
      return absl::StrCat(host, ":", port());
    case AF_INET6:
      inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, host,
                sizeof(host));
      return absl::StrCat("[", host, "]:", port());
    case AF_UNIX: {
      const auto* local = reinterpret_cast<const sockaddr_un*>(&storage_);
      const size_t length = size_ - std::min<size_t>(size_, offsetof(sockaddr_un, sun_path));
      return absl::StrCat("unix:", std::string(local->sun_path, strnlen(local->sun_path, length)));
    }
    default:
      return "nowhere";
  }
}

}  // namespace curg
