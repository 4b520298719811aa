// SPDX-License-Identifier: Apache-2.0
//
// The echo server on curg: one task a connection.
#include <chrono>
#include <thread>

#include "runtime/go.h"
#include "runtime/io/tcp.h"
#include "tests/benchmark/echo/echo.h"

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  curg::Run({.workers = arguments.workers}, [&] {
    curg::TcpListener listener =
        curg::TcpListener::Listen(curg::SocketAddress::Loopback(0)).value();
    std::thread load([port = listener.local_address().port(), &arguments] {
      peers::RunEchoLoad(port, arguments);
    });
    load.detach();
    for (int i = 0; i < arguments.busy; ++i) {
      curg::Go([] {
        while (true) {
          peers::Burn(std::chrono::microseconds(20));
          curg::Yield();
        }
      }).Detach();
    }
    while (true) {
      curg::Go([stream = listener.Accept().value()]() mutable {
        char data[1024];
        while (const size_t n = stream.Read(data).value_or(0)) {
          if (!stream.Write({data, n}).ok()) return;
        }
      }).Detach();
    }
  });
}
