// SPDX-License-Identifier: Apache-2.0
//
// Boost.Asio code in direct style: an echo server and a client, each connection a task. UseTask is
// a completion token like any other, so every async_ operation becomes a call that blocks the task.
//
//   ./bazelw run -c opt //examples:asio
//
// You should see "echo: HELLO, TASKS", then "no answer within 50ms".

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <istream>
#include <string>
#include <utility>

#include "export/command_line.h"
#include "labels/labels.h"
#include "runtime/deadline.h"
#include "runtime/go.h"
#include "runtime/io/use_task.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

// Answers each line in capitals, but for "quiet", until the client leaves.
void Serve(tcp::socket socket) {
  const curg::ScopedLabels labels({{"endpoint", "echo"}});
  boost::system::error_code error;  // the end of a connection is no exception
  asio::streambuf buffer;
  while (true) {
    asio::async_read_until(socket, buffer, '\n', curg::UseTask(error));
    if (error) return;
    std::istream stream(&buffer);
    std::string line;
    std::getline(stream, line);
    if (line == "quiet") continue;
    for (char& c : line) c = static_cast<char>(std::toupper(c));
    line += '\n';
    asio::async_write(socket, asio::buffer(line), curg::UseTask(error));
  }
}

int Main() {
  tcp::acceptor acceptor(curg::IoExecutor(), {asio::ip::address_v4::loopback(), 0});
  curg::JoinHandle<void> server = curg::Go([&] {
    Serve(acceptor.async_accept(curg::UseTask()));  // a service would loop, and Go for each
  });

  tcp::socket socket(curg::IoExecutor());
  socket.async_connect(acceptor.local_endpoint(), curg::UseTask());  // throws if it cannot
  asio::async_write(socket, asio::buffer("hello, tasks\n", 13), curg::UseTask());
  std::array<char, 64> data;
  const size_t size = socket.async_read_some(asio::buffer(data), curg::UseTask());
  std::printf("echo: %.*s", static_cast<int>(size), data.data());

  asio::async_write(socket, asio::buffer("quiet\n", 6), curg::UseTask());
  boost::system::error_code error;
  const curg::Deadline deadline = curg::Deadline::After(milliseconds(50));
  socket.async_read_some(asio::buffer(data), curg::UseTask(error).Until(deadline));
  if (error == asio::error::timed_out) std::printf("no answer within 50ms\n");

  socket.close();
  server.Join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(argc, argv,
                         "Boost.Asio in direct style: an echo server, a client with a deadline.");
  return curg::Run(Main);
}
