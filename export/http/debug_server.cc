// SPDX-License-Identifier: Apache-2.0
#include "export/http/debug_server.h"

#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <list>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "export/http/connection.h"
#include "export/http/io_thread.h"
#include "export/http/pprof_pages.h"
#include "runtime/go.h"
#include "runtime/park.h"
#include "runtime/service.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/wait_group.h"

namespace curg {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

absl::StatusOr<tcp::endpoint> EndpointOf(const DebugServerOptions& options) {
  error_code error;
  const std::string text = options.address == "localhost" ? "127.0.0.1" : options.address;
  const boost::asio::ip::address address = boost::asio::ip::make_address(text, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("address is \"", options.address, "\", but must be an IP address"));
  }
  if (options.connections_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("connections_max is ", options.connections_max, ", but must be at least 1"));
  }
  if (options.request_timeout.count() <= 0 || options.idle_timeout.count() <= 0) {
    return absl::InvalidArgumentError("request_timeout and idle_timeout must be positive");
  }
  return tcp::endpoint(address, options.port);
}

std::string AddressText(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? absl::StrCat("[", address, "]:", endpoint.port())
                                    : absl::StrCat(address, ":", endpoint.port());
}

absl::Status ListenError(const tcp::endpoint& endpoint, const error_code& error) {
  const std::string text = absl::StrCat("the debug server cannot listen on ", AddressText(endpoint),
                                        ": ", error.message());
  if (error == boost::system::errc::address_in_use) {
    return absl::AlreadyExistsError(absl::StrCat(text, "; port 0 takes a free one"));
  }
  if (error == boost::system::errc::permission_denied) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

absl::Status Listen(const tcp::endpoint& endpoint, tcp::acceptor& acceptor) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(SOMAXCONN, error);
  return error ? ListenError(endpoint, error) : absl::OkStatus();
}

}  // namespace

class DebugServer::Running {
 public:
  explicit Running(const DebugServerOptions& options)
      : options_(options), acceptor_(io_.context()) {
    AddPprofPages(pages_);
  }

  absl::Status Start() {
    const absl::StatusOr<tcp::endpoint> endpoint = EndpointOf(options_);
    if (!endpoint.ok()) return endpoint.status();
    if (absl::Status status = Listen(*endpoint, acceptor_); !status.ok()) return status;
    endpoint_ = acceptor_.local_endpoint();
    try {
      accepting_ = internal::GoService("debug server", [this] { AcceptAll(); });
    } catch (const absl::BadStatusOrAccess& refused) {
      return refused.status();
    }
    // The reactor's thread wakes nobody but the server's own tasks, so it is no hope for a program
    // whose tasks all wait for each other.
    internal::AddPlainWaiters(1);
    return absl::OkStatus();
  }

  void Stop() {
    internal::AddPlainWaiters(-1);
    stop_.request_stop();
    io_.Do([this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    accepting_.Join();
    {
      const std::lock_guard lock(mutex_);
      for (internal::Connection& connection : connections_) connection.Close();
    }
    tasks_.Wait();
  }

  const tcp::endpoint& endpoint() const { return endpoint_; }
  DebugPages& pages() { return pages_; }

  int connections() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }

 private:
  using Place = std::list<internal::Connection>::iterator;

  void AcceptAll() {
    while (!stop_.stop_requested()) {
      tcp::socket socket(io_.context());
      const internal::IoResult result =
          io_.Wait(acceptor_, std::chrono::hours(24),
                   [&](auto done) { acceptor_.async_accept(socket, done); });
      if (!result.error) {
        Accept(std::move(socket));
      } else if (!result.timed_out) {
        // No descriptors left, say: others may be closed meanwhile.
        SleepFor(std::chrono::milliseconds(20), stop_.get_token());
      }
    }
  }

  void Accept(tcp::socket socket) try {
    bool refuse = false;
    Place place;
    {
      const std::lock_guard lock(mutex_);
      refuse = static_cast<int>(connections_.size()) >= options_.connections_max && !MakeRoom();
      place = connections_.emplace(connections_.end(), io_, std::move(socket), options_, pages_);
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

  // Closes the connection that has waited for a request longest; false when there is none that waits.
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
  internal::IoThread io_;
  tcp::acceptor acceptor_;
  tcp::endpoint endpoint_;
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

uint16_t DebugServer::port() const { return running_->endpoint().port(); }

std::string DebugServer::url() const {
  return absl::StrCat("http://", AddressText(running_->endpoint()), "/debug/pprof/");
}

DebugPages& DebugServer::pages() { return running_->pages(); }

int DebugServer::connections() const { return running_->connections(); }

}  // namespace curg
