// SPDX-License-Identifier: Apache-2.0
#include "export/http/debug_server.h"

#include <chrono>
#include <exception>
#include <list>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "export/http/connection.h"
#include "export/http/pprof_pages.h"
#include "export/http/task_pages.h"
#include "export/web/flame_pages.h"
#include "runtime/go.h"
#include "runtime/io/socket_address.h"
#include "runtime/io/tcp.h"
#include "runtime/service.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/wait_group.h"

namespace curg {
namespace {

absl::StatusOr<SocketAddress> AddressOf(const DebugServerOptions& options) {
  if (options.connections_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("connections_max is ", options.connections_max, ", but must be at least 1"));
  }
  if (options.request_timeout.count() <= 0 || options.idle_timeout.count() <= 0) {
    return absl::InvalidArgumentError("request_timeout and idle_timeout must be positive");
  }
  const std::string host = options.address == "localhost" ? "127.0.0.1" : options.address;
  const bool v6 = host.find(':') != std::string::npos;
  absl::StatusOr<SocketAddress> address =
      SocketAddress::Parse(absl::StrCat(v6 ? "[" : "", host, v6 ? "]:" : ":", options.port));
  if (!address.ok() || host.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("address is \"", options.address, "\", but must be an IP address"));
  }
  return address;
}

absl::StatusOr<TcpListener> Listen(const SocketAddress& address) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(address);
  if (listener.ok()) return listener;
  const absl::string_view message = listener.status().message();
  const bool in_use = absl::StrContains(message, "in use");
  return absl::Status(listener.status().code(),
                      absl::StrCat("the debug server cannot start: ", message,
                                   in_use ? "; port 0 takes a free one" : ""));
}

}  // namespace

class DebugServer::Running {
 public:
  explicit Running(const DebugServerOptions& options) : options_(options) {
    AddPprofPages(pages_);
    AddFlamePages(pages_);
    AddTaskPages(pages_);
  }

  absl::Status Start() try {
    const absl::StatusOr<SocketAddress> address = AddressOf(options_);
    if (!address.ok()) return address.status();
    // A listener belongs to the scheduler whose tasks use it.
    absl::StatusOr<TcpListener> listener =
        internal::GoService("debug server start", [&] { return Listen(*address); }).Join();
    if (!listener.ok()) return listener.status();
    address_ = listener->local_address();
    accepting_ = internal::GoService(
        "debug server", [this, listener = *std::move(listener)]() mutable { AcceptAll(listener); });
    return absl::OkStatus();
  } catch (const absl::BadStatusOrAccess& refused) {
    return refused.status();
  }

  void Stop() {
    stop_.request_stop();
    accepting_.Join();
    {
      const std::lock_guard lock(mutex_);
      for (internal::Connection& connection : connections_) connection.Close();
    }
    tasks_.Wait();
  }

  const SocketAddress& address() const { return address_; }
  DebugPages& pages() { return pages_; }

  int connections() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }

 private:
  using Place = std::list<internal::Connection>::iterator;

  void AcceptAll(TcpListener& listener) {
    while (!stop_.stop_requested()) {
      absl::StatusOr<TcpStream> stream = listener.Accept(Deadline::Never(), stop_.get_token());
      if (stream.ok()) {
        Accept(*std::move(stream));
      } else {
        // No descriptors left, say: others may be closed meanwhile.
        SleepFor(std::chrono::milliseconds(20), stop_.get_token());
      }
    }
    listener.Close();
  }

  void Accept(TcpStream stream) try {
    bool refuse = false;
    Place place;
    {
      const std::lock_guard lock(mutex_);
      refuse = static_cast<int>(connections_.size()) >= options_.connections_max && !MakeRoom();
      place = connections_.emplace(connections_.end(), std::move(stream), options_, pages_);
    }
    tasks_.Add(1);
    try {
      (void)internal::GoService("debug connection", [this, place, refuse] {
        try {
          refuse ? place->Refuse() : place->Serve();
        } catch (const std::exception&) {
          // No memory: this client gets no answer.
        }
        Remove(place);
      });
    } catch (...) {
      Remove(place);
      throw;
    }
  } catch (const std::exception&) {
    // No memory or no task for it: the connection is closed, which tells its client.
  }

  // Closes the connection that has waited for a request longest; false when there is none that
  // waits.
  bool MakeRoom() {
    internal::Connection* oldest = nullptr;
    for (internal::Connection& connection : connections_) {
      if (connection.waiting_since() == INT64_MAX) continue;
      if (oldest == nullptr || connection.waiting_since() < oldest->waiting_since()) {
        oldest = &connection;
      }
    }
    if (oldest != nullptr) oldest->Close();
    return oldest != nullptr;
  }

  void Remove(Place place) {
    {
      const std::lock_guard lock(mutex_);
      connections_.erase(place);
    }
    tasks_.Done();
  }

  const DebugServerOptions options_;
  DebugPages pages_;
  SocketAddress address_;
  std::stop_source stop_;
  JoinHandle<void> accepting_;
  WaitGroup tasks_;
  mutable Mutex mutex_;
  // guarded by mutex_
  std::list<internal::Connection> connections_;
};

DebugServer::DebugServer(std::unique_ptr<Running> running) : running_(std::move(running)) {}
DebugServer::DebugServer(DebugServer&&) noexcept = default;

DebugServer& DebugServer::operator=(DebugServer&& other) noexcept {
  if (this != &other) {
    if (running_ != nullptr) running_->Stop();
    running_ = std::move(other.running_);
  }
  return *this;
}

DebugServer::~DebugServer() {
  if (running_ != nullptr) running_->Stop();
}

absl::StatusOr<DebugServer> DebugServer::Start(const DebugServerOptions& options) {
  auto running = std::make_unique<Running>(options);
  if (absl::Status status = running->Start(); !status.ok()) return status;
  return DebugServer(std::move(running));
}

uint16_t DebugServer::port() const { return running_->address().port(); }

std::string DebugServer::url() const {
  return absl::StrCat("http://", running_->address().ToString(), "/debug/pprof/");
}

DebugPages& DebugServer::pages() { return running_->pages(); }

int DebugServer::connections() const { return running_->connections(); }

}  // namespace curg
