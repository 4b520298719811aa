// SPDX-License-Identifier: Apache-2.0
//
// chat: a chat server. Each line that anybody sends goes to all.
//
//   ./bazelw run -c opt //examples:chat -- --listen=127.0.0.1:7000
//   nc 127.0.0.1 7000                                                    (in two other terminals)
//
// Each member has a channel of messages that wait for it, and a task that writes them. One that
// does not read is dropped when --backlog messages wait: nobody waits for it. SIGTERM and SIGINT
// end the server. room.cc has the tasks.

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "examples/chat/room.h"
#include "export/command_line.h"
#include "runtime/go.h"
#include "runtime/io/serve.h"
#include "runtime/io/use_task.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:7000",
          "where members connect to; port 0: any that is free");
ABSL_FLAG(int, members_max, 10'000, "at a time; more wait until one leaves");
ABSL_FLAG(int, backlog, 64, "messages that wait for one member before it is dropped");

namespace curg::examples {
namespace {

int Main(const SocketAddress& listen) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(listen);
  if (!listener.ok()) {
    std::fprintf(stderr, "chat: %s\n", listener.status().ToString().c_str());
    return 1;
  }
  // Before anybody knows where it listens: from here on SIGTERM ends it well.
  boost::asio::signal_set signals(IoExecutor(), SIGTERM, SIGINT);
  std::printf("listening at %s\n", listener->local_address().ToString().c_str());
  std::fflush(stdout);
  Room room({.backlog = static_cast<size_t>(absl::GetFlag(FLAGS_backlog))});
  std::stop_source stop;
  JoinHandle<absl::Status> serving = Go([&] {
    ServeOptions options;
    options.connections_max = absl::GetFlag(FLAGS_members_max);
    options.task.name = "member";
    return Serve(
        *listener, options,
        [&](TcpStream member) { room.Join(std::move(member), stop.get_token()); },
        stop.get_token());
  });
  signals.async_wait(UseTask());
  stop.request_stop();
  serving.Join().IgnoreError();
  const RoomCounts counts = room.counts();
  std::printf("%ld messages, %ld slow members dropped\n", counts.messages, counts.dropped);
  return 0;
}

}  // namespace
}  // namespace curg::examples

int main(int argc, char** argv) {
  curg::ParseCommandLine(argc, argv,
                         "A chat server: each line goes to all.\n\n"
                         "  chat --listen=127.0.0.1:7000");
  const auto listen = curg::SocketAddress::Parse(absl::GetFlag(FLAGS_listen));
  if (!listen.ok() || absl::GetFlag(FLAGS_backlog) < 1) {
    std::fprintf(stderr, "chat: %s\n",
                 listen.ok() ? "--backlog is at least 1" : listen.status().ToString().c_str());
    return 2;
  }
  return curg::Run([&] { return curg::examples::Main(*listen); });
}
