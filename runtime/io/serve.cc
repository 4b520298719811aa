// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/serve.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/go.h"
#include "runtime/sync/semaphore.h"
#include "runtime/sync/wait_group.h"
#include "runtime/timers.h"

namespace curg {
namespace {

constexpr std::chrono::milliseconds kFirstPause{5};
constexpr std::chrono::milliseconds kLastPause{1000};

void PrintTrouble(const absl::Status& status) {
  constexpr int64_t kMinuteNs = 60'000'000'000;
  static std::atomic<int64_t> quiet_until{0};
  const int64_t now = internal::MonotonicNow();
  int64_t until = quiet_until.load(std::memory_order_relaxed);
  if (now < until || !quiet_until.compare_exchange_strong(until, now + kMinuteNs)) return;
  std::fprintf(stderr, "curg: serving connections: %s\n", status.ToString().c_str());
}

// One accept loop.
class Server {
 public:
  Server(const ServeOptions& options, const std::function<void(TcpStream)>& handler)
      : options_(options),
        handler_(handler),
        places_(options.connections_max > 0 ? options.connections_max
                                            : std::numeric_limits<int32_t>::max()) {}

  ~Server() { connections_.Wait(); }

  // OK: a stop was requested.
  absl::Status Accept(TcpListener& listener, const std::stop_token& stop) {
    std::chrono::milliseconds pause = kFirstPause;
    std::optional<TcpStream> stream;  // accepted, but its task was refused
    while (true) {
      if (!stream && places_.Acquire(1, stop) != WaitStatus::kOk) return absl::OkStatus();
      absl::Status status = AcceptOne(listener, stop, &stream);
      if (status.ok()) {
        pause = kFirstPause;
        continue;
      }
      if (!stream) places_.Release();
      if (status.code() == absl::StatusCode::kCancelled) return absl::OkStatus();
      if (status.code() != absl::StatusCode::kResourceExhausted) return status;
      Tell(status);
      if (!SleepFor(pause, stop)) return absl::OkStatus();
      pause = std::min(2 * pause, kLastPause);
    }
  }

 private:
  absl::Status AcceptOne(TcpListener& listener, const std::stop_token& stop,
                         std::optional<TcpStream>* stream) {
    if (!*stream) {
      absl::StatusOr<TcpStream> accepted = listener.Accept(Deadline::Never(), stop);
      if (!accepted.ok()) return accepted.status();
      *stream = *std::move(accepted);
    }
    // The callable holds nothing yet: a refused task must not take the stream along.
    auto* const passed = new (std::nothrow) TcpStream(std::move(**stream));
    if (passed == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
    connections_.Add();
    absl::StatusOr<JoinHandle<void>> task =
        TryGo(options_.task, [this, passed] { Handle(passed); });
    if (!task.ok()) {
      *stream = std::move(*passed);
      delete passed;
      connections_.Done();
      return task.status();
    }
    stream->reset();
    return absl::OkStatus();
  }

  void Handle(TcpStream* passed) {
    TcpStream stream = std::move(*passed);
    delete passed;
    try {
      handler_(std::move(stream));
    } catch (const std::exception& error) {
      Tell(absl::InternalError(absl::StrCat("a connection's handler threw: ", error.what())));
    } catch (...) {
      Tell(absl::InternalError("a connection's handler threw something"));
    }
    places_.Release();
    connections_.Done();
  }

  void Tell(const absl::Status& status) const {
    if (options_.on_trouble) {
      options_.on_trouble(status);
    } else {
      PrintTrouble(status);
    }
  }

  const ServeOptions& options_;
  const std::function<void(TcpStream)>& handler_;
  Semaphore places_;
  WaitGroup connections_;
};

}  // namespace

absl::Status Serve(TcpListener& listener, const ServeOptions& options,
                   const std::function<void(TcpStream)>& handler, const std::stop_token& stop) {
  return Server(options, handler).Accept(listener, stop);
}

}  // namespace curg
