// SPDX-License-Identifier: Apache-2.0
//
// proxy: a TCP reverse proxy.
//
//   ./bazelw run -c opt //examples:proxy -- --listen=127.0.0.1:8080 --upstream=127.0.0.1:80
//
// It carries the bytes of each connection to the upstream and back, with time-outs for connecting
// and for idle connections, a limit of connections, and half-close. On SIGTERM or SIGINT it accepts
// no more, lets those that are open end for --grace, cuts the rest, and says what it has done.
// proxy.cc has the tasks.

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "examples/proxy/proxy.h"
#include "export/command_line.h"
#include "runtime/go.h"
#include "runtime/io/serve.h"
#include "runtime/io/use_task.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:8080",
          "where clients connect to; port 0: any that is free");
ABSL_FLAG(std::string, upstream, "127.0.0.1:80", "where their bytes go");
ABSL_FLAG(int, connections_max, 10'000, "at a time; more wait until one ends");
ABSL_FLAG(absl::Duration, connect_timeout, absl::Seconds(5), "for reaching the upstream");
ABSL_FLAG(absl::Duration, idle_timeout, absl::Minutes(5),
          "after which a connection that says nothing is closed");
ABSL_FLAG(absl::Duration, grace, absl::Seconds(10),
          "for connections to end by themselves after SIGTERM");

namespace curg::examples {
namespace {

int Main(const SocketAddress& listen, Proxy& proxy) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(listen);
  if (!listener.ok()) {
    std::fprintf(stderr, "proxy: %s\n", listener.status().ToString().c_str());
    return 1;
  }
  // Before anybody knows where it listens: from here on SIGTERM ends it well.
  boost::asio::signal_set signals(IoExecutor(), SIGTERM, SIGINT);
  std::printf("listening at %s\n", listener->local_address().ToString().c_str());
  std::fflush(stdout);

  std::stop_source stop;
  std::stop_source abort;
  JoinHandle<absl::Status> serving = Go([&] {
    ServeOptions options;
    options.connections_max = absl::GetFlag(FLAGS_connections_max);
    options.task.name = "connection";
    return Serve(
        *listener, options,
        [&](TcpStream client) { proxy.Serve(std::move(client), abort.get_token()); },
        stop.get_token());
  });

  const int signal = signals.async_wait(UseTask());
  std::printf("%s: waiting for connections to end\n", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  std::fflush(stdout);
  stop.request_stop();
  Joined<absl::Status> ended =
      serving.JoinFor(absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_grace)));
  if (!ended) {
    abort.request_stop();
    serving.Join().IgnoreError();
  }
  const ProxyCounts& counts = proxy.counts();
  std::printf("%ld connections, %ld of them failed; %ld bytes there, %ld back%s\n",
              counts.connections.load(), counts.failed.load(), counts.to_upstream.load(),
              counts.to_client.load(), ended ? "" : "; some were cut");
  return 0;
}

}  // namespace
}  // namespace curg::examples

int main(int argc, char** argv) {
  curg::ParseCommandLine(argc, argv,
                         "Carries TCP connections to an upstream and back.\n\n"
                         "  proxy --upstream=127.0.0.1:80");
  const auto listen = curg::SocketAddress::Parse(absl::GetFlag(FLAGS_listen));
  const auto upstream = curg::SocketAddress::Parse(absl::GetFlag(FLAGS_upstream));
  for (const absl::Status& status : {listen.status(), upstream.status()}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "proxy: %s\n", status.ToString().c_str());
    return 2;
  }
  curg::examples::Proxy proxy(
      {.upstream = *upstream,
       .connect_timeout = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_connect_timeout)),
       .idle_timeout = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_idle_timeout))});
  return curg::Run([&] { return curg::examples::Main(*listen, proxy); });
}
