// SPDX-License-Identifier: Apache-2.0
//
// TcpStream and TcpListener: stream sockets in blocking style, without Boost.Asio. Local (Unix)
// sockets are served by them as well.
//
//   curg::TcpListener listener =
//   curg::TcpListener::Listen(curg::SocketAddress::Loopback(8080)).value(); while (true) {
//     auto stream = listener.Accept();
//     if (!stream.ok()) { curg::SleepFor(10ms); continue; }            // EMFILE, say
//     curg::Go([stream = *std::move(stream)]() mutable {
//       char data[4096];
//       while (auto n = stream.Read(data).value_or(0)) {
//         if (!stream.Write({data, n}).ok()) return;
//       }
//     });
//   }
//
// A call that can be done at once is: one system call and no switch. One that cannot parks the
// task; a socket that gave less than asked for is known to be empty, and the next read waits
// without trying. serve.h has the loop above.
//
// Errors, of all calls: DEADLINE_EXCEEDED, CANCELLED: a limit came first, and the stream can be
// used on; others as absl::ErrnoToStatus has it (UNAVAILABLE: the connection was reset;
// RESOURCE_EXHAUSTED: no more file descriptors or memory).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/io/socket_address.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_status.h"

namespace curg {

namespace internal {

class Descriptor;
class Netpoll;

// What a call came to: bytes; or an errno; or the limit that came first.
struct IoResult {
  size_t count = 0;
  int error = 0;
  WaitStatus limit = WaitStatus::kOk;

  bool ok() const { return error == 0 && limit == WaitStatus::kOk; }
};

// A non-blocking socket with its place in the poller. Owner only.
class PolledSocket {
 public:
  PolledSocket() = default;
  // Takes the socket over, also when that fails. Requires: a task.
  static absl::StatusOr<PolledSocket> Adopt(int fd);
  // The same in two steps, so that the first can fail before there is a socket: `fd`, set in
  // between. The second can be tried again.
  absl::Status Prepare(Netpoll& poller);
  absl::Status Watch();
  PolledSocket(PolledSocket&& other) noexcept { *this = std::move(other); }
  PolledSocket& operator=(PolledSocket&& other) noexcept;
  ~PolledSocket() { Close(); }

  void Close();
  bool is_open() const { return fd >= 0; }

  int fd = -1;
  Descriptor* descriptor = nullptr;
  Netpoll* netpoll = nullptr;
};

}  // namespace internal

// One task may read while another writes. It must be gone before its runtime is.
// Requires, unless it says otherwise: a task of the runtime it was made on. Blocks: the task.
class TcpStream {
 public:
  // After so many calls in a row that did not park, the others get their turn.
  static constexpr int kCallsMax = 64;

  TcpStream() = default;  // closed

  static absl::StatusOr<TcpStream> Connect(const SocketAddress& address,
                                           Deadline deadline = Deadline::Never(),
                                           const std::stop_token& stop = {});
  // A connected socket from elsewhere (socketpair, an inherited one), which it makes non-blocking
  // and owns, also when it fails.
  static absl::StatusOr<TcpStream> Adopt(int fd);

  // Waits for data and reads what is there, up to the size of `into`; 0: the other side has ended.
  absl::StatusOr<size_t> Read(std::span<char> into, Deadline deadline = Deadline::Never(),
                              const std::stop_token& stop = {});

  // Writes all of `data`. If it fails, some may have been written.
  absl::Status Write(std::string_view data, Deadline deadline = Deadline::Never(),
                     const std::stop_token& stop = {});
  // Writes what there is room for, at least one byte.
  absl::StatusOr<size_t> WriteSome(std::string_view data, Deadline deadline = Deadline::Never(),
                                   const std::stop_token& stop = {});

  // Tells the other side that no more will come; reading goes on.
  absl::Status ShutdownWrite();
  // Ends both ways: who reads or writes now comes back. Thread-safe, while the stream is not closed
  // or moved.
  // Blocks: nothing.
  void Shutdown();
  // Not while a task reads or writes. Blocks: nothing.
  void Close() { socket_.Close(); }
  // Closes so that the other side sees a reset.
  void Abort();

  bool is_open() const { return socket_.fd >= 0; }
  int fd() const { return socket_.fd; }
  SocketAddress local_address() const;
  SocketAddress remote_address() const;

  // For adaptors: Read and WriteSome as the system says it, and of several pieces.
  internal::IoResult ReadSome(std::span<char> into, const internal::WaitLimits& limits);
  internal::IoResult WriteSome(std::span<const iovec> pieces, const internal::WaitLimits& limits);

 private:
  friend class TcpListener;

  explicit TcpStream(internal::PolledSocket socket) : socket_(std::move(socket)) {}

  internal::PolledSocket socket_;
  bool drained_ = false;  // the reader's: it was read empty
  int reads_ = 0;         // the reader's: calls since it has parked
  int writes_ = 0;        // the writer's
};

struct ListenOptions {
  int backlog = 4096;
  bool reuse_port = false;  // several listeners, of several runtimes or processes, share the port
};

// One task at a time accepts. As TcpStream otherwise.
class TcpListener {
 public:
  TcpListener() = default;

  // Port 0: one that is free, see local_address(). A local socket's path must not exist.
  static absl::StatusOr<TcpListener> Listen(const SocketAddress& address,
                                            const ListenOptions& options = {});

  // The next connection, without delays for small writes (TCP_NODELAY). RESOURCE_EXHAUSTED: no file
  // descriptors, memory, or places in the kernel's epoll (fs.epoll.max_user_watches); the
  // connection waits, and so should the caller before trying again.
  absl::StatusOr<TcpStream> Accept(Deadline deadline = Deadline::Never(),
                                   const std::stop_token& stop = {});

  void Close() { *this = TcpListener(); }
  bool is_open() const { return socket_.fd >= 0; }
  int fd() const { return socket_.fd; }
  SocketAddress local_address() const;

 private:
  absl::Status AcceptNext(const internal::WaitLimits& limits);

  internal::PolledSocket socket_;
  internal::PolledSocket accepted_;  // which could not be watched; the next Accept tries again
  int accepts_ = 0;                  // since it has parked
};

}  // namespace curg
