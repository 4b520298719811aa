// SPDX-License-Identifier: Apache-2.0
//
// The echo server with Boost.Asio's C++20 coroutines: --workload=echo_shared, all threads on one
// io_context; any other, one io_context a thread.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <memory>
#include <thread>
#include <vector>

#include "tests/benchmark/echo/echo.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

asio::awaitable<void> Echo(tcp::socket socket) {
  char data[1024];
  try {
    while (true) {
      const size_t n = co_await socket.async_read_some(asio::buffer(data), asio::use_awaitable);
      co_await asio::async_write(socket, asio::buffer(data, n), asio::use_awaitable);
    }
  } catch (const boost::system::system_error&) {
  }
}

// Connections go to the contexts in turn.
asio::awaitable<void> Accept(tcp::acceptor& acceptor,
                             std::vector<std::unique_ptr<asio::io_context>>& contexts) {
  for (size_t next = 0;; ++next) {
    asio::io_context& context = *contexts[next % contexts.size()];
    tcp::socket socket(context);
    co_await acceptor.async_accept(socket, asio::use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(context, Echo(std::move(socket)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  const bool shared = arguments.workload == "echo_shared";
  std::vector<std::unique_ptr<asio::io_context>> contexts;
  for (int i = 0; i < (shared ? 1 : arguments.workers); ++i) {
    contexts.push_back(std::make_unique<asio::io_context>(shared ? arguments.workers : 1));
  }
  tcp::acceptor acceptor(*contexts[0], {asio::ip::address_v4::loopback(), 0});
  asio::co_spawn(*contexts[0], Accept(acceptor, contexts), asio::detached);
  std::vector<std::thread> threads;
  for (int i = 0; i < arguments.workers; ++i) {
    asio::io_context& context = *contexts[static_cast<size_t>(i) % contexts.size()];
    threads.emplace_back([&context] {
      const auto work = asio::make_work_guard(context);
      context.run();
    });
  }
  peers::RunEchoLoad(acceptor.local_endpoint().port(), arguments);
}
