// SPDX-License-Identifier: Apache-2.0
//
// The echo server on curg with Boost.Asio's sockets and the completion token.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <thread>

#include "runtime/go.h"
#include "runtime/io/use_task.h"
#include "tests/benchmark/echo/echo.h"

int main(int argc, char** argv) {
  namespace asio = boost::asio;
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  curg::Run({.workers = arguments.workers}, [&] {
    asio::ip::tcp::acceptor acceptor(curg::IoExecutor(), {asio::ip::address_v4::loopback(), 0});
    std::thread load([port = acceptor.local_endpoint().port(), &arguments] {
      peers::RunEchoLoad(port, arguments);
    });
    load.detach();
    while (true) {
      curg::Go([socket = acceptor.async_accept(curg::UseTask())]() mutable {
        socket.set_option(asio::ip::tcp::no_delay(true));
        char data[1024];
        boost::system::error_code error;
        while (const size_t n = socket.async_read_some(asio::buffer(data), curg::UseTask(error))) {
          asio::async_write(socket, asio::buffer(data, n), curg::UseTask());
        }
      }).Detach();
    }
  });
}
