// SPDX-License-Identifier: Apache-2.0
//
// RawClient: a plain socket, to say to a server whatever one likes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace curg {

class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience = {.tv_sec = 200, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("cannot connect");
    }
  }
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient() {
    if (fd_ >= 0) close(fd_);
  }

  // False: the server has closed.
  bool Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void SendNoMore() { shutdown(fd_, SHUT_WR); }

  // What comes next, at most `size_max` bytes; empty: the server has closed, or said nothing for
  // some minutes.
  std::string Receive(size_t size_max = 65536) {
    std::string bytes(size_max, '\0');
    const ssize_t size = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return bytes;
  }

  // Everything up to the end of the connection.
  std::string ReceiveAll() {
    std::string all;
    for (std::string piece = Receive(); !piece.empty(); piece = Receive()) all += piece;
    return all;
  }

  // One whole answer with a Content-Length.
  std::string ReceiveAnswer() {
    std::string answer;
    size_t end = std::string::npos;
    size_t whole = 0;
    while (end == std::string::npos || answer.size() < whole) {
      const std::string piece = Receive(1);
      if (piece.empty()) break;
      answer += piece;
      if (end == std::string::npos && (end = answer.find("\r\n\r\n")) != std::string::npos) {
        const size_t length = answer.find("Content-Length: ");
        whole = end + 4 + (length < end ? std::stoul(answer.substr(length + 16)) : 0);
      }
    }
    return answer;
  }

 private:
  int fd_;
};

}  // namespace curg
