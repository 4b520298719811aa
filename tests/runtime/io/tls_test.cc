// SPDX-License-Identifier: Apache-2.0
//
// TLS through asio::ssl, with a certificate made here: asynchronous operations as calls, and
// synchronous ones on a TcpStream.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "runtime/go.h"
#include "runtime/io/asio_stream.h"
#include "runtime/io/use_task.h"

namespace curg {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using std::chrono_literals::operator""s;

// A context with a new key and a certificate that it has signed itself.
ssl::context ServerContext() {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  ssl::context context(ssl::context::tls_server);
  EXPECT_EQ(SSL_CTX_use_certificate(context.native_handle(), certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.native_handle(), key.get()), 1);
  return context;
}

ssl::context ClientContext() {
  ssl::context context(ssl::context::tls_client);
  context.set_verify_mode(ssl::verify_none);  // whom it could trust is not the point
  return context;
}

void RunClient(const tcp::endpoint& address, int id) {
  ssl::context context = ClientContext();
  ssl::stream<tcp::socket> stream(IoExecutor(), context);
  stream.lowest_layer().async_connect(address, UseTask());
  stream.async_handshake(ssl::stream_base::client, UseTask().Until(Deadline::After(60s)));
  for (size_t size : {1u, 100u, 40'000u}) {
    const std::string sent(size, static_cast<char>('a' + id % 26));
    asio::async_write(stream, asio::buffer(sent), UseTask());
    std::string got(size, '\0');
    asio::async_read(stream, asio::buffer(got), UseTask().Until(Deadline::After(60s)));
    ASSERT_EQ(got, sent);
  }
  boost::system::error_code ignored;
  stream.async_shutdown(UseTask(ignored));
}

template <typename Stream>
void EchoUntilTheEnd(Stream& stream) {
  std::vector<char> data(10'000);
  boost::system::error_code error;
  while (const size_t n = stream.async_read_some(asio::buffer(data), UseTask(error))) {
    asio::async_write(stream, asio::buffer(data.data(), n), UseTask());
  }
  EXPECT_EQ(error, asio::error::eof);
  stream.async_shutdown(UseTask(error));
}

TEST(Tls, EchoesOnManyConnections) {
  constexpr int kClients = 20;
  ssl::context context = ServerContext();
  curg::Run({.workers = 3}, [&] {
    tcp::acceptor acceptor(IoExecutor(), {asio::ip::address_v4::loopback(), 0});
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kClients; ++i) {
      tasks.push_back(Go([address = acceptor.local_endpoint(), i] { RunClient(address, i); }));
    }
    for (int i = 0; i < kClients; ++i) {
      tasks.push_back(Go([&context, socket = acceptor.async_accept(UseTask())]() mutable {
        ssl::stream<tcp::socket> stream(std::move(socket), context);
        stream.async_handshake(ssl::stream_base::server, UseTask());
        EchoUntilTheEnd(stream);
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

TEST(Tls, SynchronousOnATcpStream) {
  ssl::context context = ServerContext();
  curg::Run([&] {
    TcpListener listener = TcpListener::Listen(SocketAddress::Loopback(0)).value();
    const tcp::endpoint address(asio::ip::address_v4::loopback(), listener.local_address().port());
    auto client = Go([&] { RunClient(address, 0); });
    TcpStream accepted = listener.Accept().value();
    ssl::stream<AsioStream> stream(AsioStream(accepted), context);
    stream.handshake(ssl::stream_base::server);
    std::vector<char> data(10'000);
    boost::system::error_code error;
    while (const size_t n = stream.read_some(asio::buffer(data), error)) {
      asio::write(stream, asio::buffer(data.data(), n));
    }
    EXPECT_EQ(error, asio::error::eof);
    stream.shutdown(error);
    client.Join();
  });
}

TEST(Tls, AHandshakeGivesUpAtItsDeadline) {
  curg::Run([] {
    tcp::acceptor acceptor(IoExecutor(), {asio::ip::address_v4::loopback(), 0});
    ssl::context context = ClientContext();
    ssl::stream<tcp::socket> stream(IoExecutor(), context);
    stream.lowest_layer().async_connect(acceptor.local_endpoint(), UseTask());
    boost::system::error_code error;
    stream.async_handshake(ssl::stream_base::client,
                           UseTask(error).Until(Deadline::After(std::chrono::milliseconds(5))));
    EXPECT_EQ(error, asio::error::timed_out);
  });
}

}  // namespace
}  // namespace curg
