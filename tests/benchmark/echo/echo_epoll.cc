// SPDX-License-Identifier: Apache-2.0
//
// The echo server with epoll and nothing else: the floor. One instance and one listening socket a
// thread.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "tests/benchmark/echo/echo.h"

namespace {

int Listen(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) std::exit(5);
  if (listen(fd, 4096) != 0) std::exit(5);
  return fd;
}

int PortOf(int fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

void Watch(int epoll, int fd) {
  epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void Serve(int listener) {
  const int epoll = epoll_create1(0);
  Watch(epoll, listener);
  epoll_event events[256];
  while (true) {
    const int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        const int on = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        Watch(epoll, accepted);
        continue;
      }
      char data[1024];
      const ssize_t got = recv(fd, data, sizeof(data), 0);
      if (got <= 0 || send(fd, data, static_cast<size_t>(got), MSG_NOSIGNAL) != got) close(fd);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  int port = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < arguments.workers; ++i) {
    const int listener = Listen(port);
    port = PortOf(listener);
    threads.emplace_back(&Serve, listener);
  }
  peers::RunEchoLoad(port, arguments);
}
