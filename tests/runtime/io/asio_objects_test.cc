// SPDX-License-Identifier: Apache-2.0
//
// What else of Boost.Asio there is, through the completion token: datagrams, local sockets, names,
// and the synchronous functions on a TcpStream.
#include <gtest/gtest.h>
#include <unistd.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <chrono>
#include <istream>
#include <string>

#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/io/asio_stream.h"
#include "runtime/io/use_task.h"

namespace curg {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

TEST(AsioObjects, Datagrams) {
  curg::Run([] {
    using asio::ip::udp;
    const udp::endpoint any(asio::ip::address_v4::loopback(), 0);
    udp::socket server(IoExecutor(), any);
    udp::socket client(IoExecutor(), any);
    auto echo = Go([&] {
      for (int i = 0; i < 3; ++i) {
        std::array<char, 100> data;
        udp::endpoint sender;
        const size_t n = server.async_receive_from(asio::buffer(data), sender, UseTask());
        server.async_send_to(asio::buffer(data, n), sender, UseTask());
      }
    });
    for (const std::string sent : {"one", "two", "three"}) {
      client.async_send_to(asio::buffer(sent), server.local_endpoint(), UseTask());
      std::string got(100, '\0');
      got.resize(client.async_receive(asio::buffer(got), UseTask().Until(Deadline::After(60s))));
      EXPECT_EQ(got, sent);
    }
    echo.Join();
    error_code error;
    std::array<char, 8> data;
    client.async_receive(asio::buffer(data), UseTask(error).Until(Deadline::After(2ms)));
    EXPECT_EQ(error, asio::error::timed_out);
  });
}

TEST(AsioObjects, LocalSockets) {
  curg::Run([] {
    ASSERT_EQ(chdir(testing::TempDir().c_str()), 0);  // its path may be too long for a local
                                                      // socket's
    const std::string path = "asio_objects_test." + std::to_string(getpid());
    asio::local::stream_protocol::acceptor acceptor(IoExecutor(), path);
    asio::local::stream_protocol::socket client(IoExecutor());
    client.async_connect(path, UseTask());
    auto server = acceptor.async_accept(UseTask());
    asio::async_write(client, asio::buffer("a line\nmore", 11), UseTask());
    asio::streambuf buffer;
    EXPECT_EQ(asio::async_read_until(server, buffer, '\n', UseTask()), 7u);
    std::string line;
    std::getline(std::istream(&buffer) >> std::ws, line);
    EXPECT_EQ(line, "a line");
    unlink(path.c_str());

    asio::local::datagram_protocol::socket a(IoExecutor());
    asio::local::datagram_protocol::socket b(IoExecutor());
    asio::local::connect_pair(a, b);
    a.async_send(asio::buffer("pair", 4), UseTask());
    std::array<char, 8> data;
    EXPECT_EQ(b.async_receive(asio::buffer(data), UseTask()), 4u);
  });
}

TEST(AsioObjects, NamesAreLookedUpWhileOthersRun) {
  curg::Run({.workers = 1}, [] {
    ScopedLabels labels({{"who", "resolver"}});
    asio::ip::tcp::acceptor acceptor(IoExecutor(), {asio::ip::address_v4::loopback(), 0});
    asio::ip::tcp::resolver resolver(IoExecutor());
    const auto found = resolver.async_resolve(
        "localhost", std::to_string(acceptor.local_endpoint().port()), UseTask());
    EXPECT_FALSE(found.empty());
    auto accepting = Go([&] { return acceptor.async_accept(UseTask()); });
    asio::ip::tcp::socket socket(IoExecutor());
    asio::async_connect(socket, found, UseTask());
    EXPECT_TRUE(accepting.Join().is_open());
    EXPECT_EQ(CurrentLabels().Get("who"), "resolver");
    error_code error;
    resolver.async_resolve("no such name", "80", asio::ip::resolver_base::numeric_host,
                           UseTask(error));
    EXPECT_TRUE(error);
  });
}

TEST(AsioObjects, SynchronousFunctionsOnATcpStream) {
  curg::Run([] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    TcpStream client = TcpStream::Connect(listener.local_address()).value();
    TcpStream server = listener.Accept().value();
    AsioStream from_client(client);
    AsioStream at_server(server);
    auto writer = Go([&] {
      const std::array<asio::const_buffer, 3> pieces = {
          asio::buffer("GET ", 4), asio::const_buffer(), asio::buffer("/\n", 2)};
      SleepFor(2ms);
      EXPECT_EQ(asio::write(from_client, pieces), 6u);
    });
    asio::streambuf buffer;
    EXPECT_EQ(asio::read_until(at_server, buffer, '\n'), 6u);
    writer.Join();
    at_server.SetLimits(Deadline::After(2ms));
    error_code error;
    asio::read(at_server, buffer, error);
    EXPECT_EQ(error, asio::error::timed_out);
    at_server.SetLimits(Deadline::Never());
    client.Close();
    asio::read(at_server, buffer, error);
    EXPECT_EQ(error, asio::error::eof);
  });
}

}  // namespace
}  // namespace curg
