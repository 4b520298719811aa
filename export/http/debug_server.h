// SPDX-License-Identifier: Apache-2.0
//
// DebugServer: /debug/pprof/ over HTTP, for `go tool pprof http://...`, curl, browsers, and
// collectors that scrape Go programs. One call:
//
//   absl::StatusOr<curg::DebugServer> debug = curg::DebugServer::Start({.port = 6060});
//   if (!debug.ok()) ...             // the port is in use, say
//   std::printf("%s\n", debug->url().c_str());
//   debug->pages().Add({...});       // pages of your own
//
// It answers while every worker of the program is held by an endless loop. What it shows (labels,
// command line, function names) is for those who run the program: it listens on loopback unless
// told otherwise, and can ask for a token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "export/http/debug_pages.h"
#include "export/http/server_options.h"  // IWYU pragma: export

namespace curg {

// Thread-compatible, but for pages(), which is thread-safe. At most a few at a time make sense.
class DebugServer {
 public:
  // Listens, and answers from then on, in tasks on the service worker; with all the pages of
  // AddPprofPages and AddFlamePages. Works from tasks and plain threads, with or without a runtime.
  // Errors: INVALID_ARGUMENT: an option, and which. Others: the port is in use, or what else the
  // system says.
  // Blocks: the task, briefly.
  static absl::StatusOr<DebugServer> Start(const DebugServerOptions& options = {});

  DebugServer(DebugServer&&) noexcept;
  DebugServer& operator=(DebugServer&&) noexcept;
  // Closes all connections, stops the profiles that are being taken for them, and waits for that.
  // Blocks: the task or plain thread, for as long as a page goes on after its request's stop.
  ~DebugServer();

  uint16_t port() const;
  // "http://127.0.0.1:6060/debug/pprof/"
  std::string url() const;
  DebugPages& pages();

  // How many clients are connected at this moment.
  int connections() const;

 private:
  class Running;
  explicit DebugServer(std::unique_ptr<Running> running);

  std::unique_ptr<Running> running_;  // null: moved from
};

}  // namespace curg
