// SPDX-License-Identifier: Apache-2.0
#include "examples/proxy/proxy.h"

#include <utility>

#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/go.h"

namespace curg::examples {
namespace {

constexpr size_t kBufferSize = 16 << 10;

int64_t Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// When something last moved, in either way: a long download is no idle connection although its
// client says nothing.
struct Proxy::Activity {
  std::atomic<int64_t> last{Now()};

  void Note() { last.store(Now(), std::memory_order_relaxed); }
  Deadline EndsAt(std::chrono::nanoseconds idle) const {
    return std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(last.load(std::memory_order_relaxed)) + idle);
  }
};

// False: the connection must be cut.
bool Proxy::Pump(TcpStream& from, TcpStream& to, std::atomic<int64_t>& bytes, Activity& activity,
                 const std::stop_token& cut) {
  char data[kBufferSize];
  while (true) {
    const Deadline deadline = activity.EndsAt(options_.idle_timeout);
    const absl::StatusOr<size_t> got = from.Read(data, deadline, cut);
    if (!got.ok()) {
      const bool other_way_moves = got.status().code() == absl::StatusCode::kDeadlineExceeded &&
                                   activity.EndsAt(options_.idle_timeout) > deadline;
      if (other_way_moves) continue;
      return false;
    }
    if (*got == 0) return to.ShutdownWrite().ok();
    activity.Note();
    if (!to.Write({data, *got}, Deadline::After(options_.idle_timeout), cut).ok()) return false;
    activity.Note();
    bytes.fetch_add(static_cast<int64_t>(*got), std::memory_order_relaxed);
  }
}

void Proxy::Serve(TcpStream client, const std::stop_token& abort) {
  counts_.connections.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<TcpStream> upstream =
      TcpStream::Connect(options_.upstream, Deadline::After(options_.connect_timeout), abort);
  if (!upstream.ok()) {
    counts_.failed.fetch_add(1, std::memory_order_relaxed);
    return client.Abort();
  }
  Activity activity;
  // A way that fails ends the other one, too. Not by a shutdown: it would look like the end of the
  // data.
  std::stop_source cut;
  const std::stop_callback on_abort(abort, [&cut] { cut.request_stop(); });
  const auto carry = [&](TcpStream& from, TcpStream& to, std::atomic<int64_t>& bytes) {
    const bool ended_well = Pump(from, to, bytes, activity, cut.get_token());
    if (!ended_well) cut.request_stop();
    return ended_well;
  };
  JoinHandle<bool> back = Go([&] { return carry(*upstream, client, counts_.to_client); });
  const bool there_ended_well = carry(client, *upstream, counts_.to_upstream);
  const bool back_ended_well = back.Join();
  if (there_ended_well && back_ended_well) return;
  counts_.failed.fetch_add(1, std::memory_order_relaxed);
  client.Abort();
  upstream->Abort();
}

}  // namespace curg::examples
