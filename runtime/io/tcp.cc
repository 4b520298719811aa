// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/tcp.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "runtime/go.h"
#include "runtime/io/descriptor.h"
#include "runtime/io/netpoll.h"
#include "runtime/limit_error.h"

namespace curg {
namespace {

using internal::Descriptor;
using internal::IoResult;
using internal::LimitError;
using internal::PolledSocket;
using internal::WaitLimits;

absl::Status Failed(int error, const char* call) { return absl::ErrnoToStatus(error, call); }

absl::Status Failed(const IoResult& result, const char* call) {
  return result.error != 0 ? Failed(result.error, call) : LimitError(result.limit, call);
}

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// The usual one piece goes the shorter way through the kernel.
ssize_t SendPieces(int fd, std::span<const iovec> pieces) {
  if (pieces.size() == 1) return send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces.data());  // which sendmsg does not write to
  message.msg_iovlen = pieces.size();
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // refused by local sockets, which do
                                                              // anyway
}

SocketAddress AddressBy(int (*name)(int, sockaddr*, socklen_t*), int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (name(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), size);
}

absl::StatusOr<int> NewSocket(int family) {
  const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed(errno, "socket");
  return fd;
}

// What accept() reports of a connection that is gone already, or of its network (accept(2)).
bool IsOfConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

namespace internal {

absl::StatusOr<PolledSocket> PolledSocket::Adopt(int fd) {
  PolledSocket socket;
  socket.fd = fd;
  if (absl::Status status = socket.Prepare(Netpoll::Current()); !status.ok()) return status;
  if (absl::Status status = socket.Watch(); !status.ok()) return status;
  return socket;
}

absl::Status PolledSocket::Prepare(Netpoll& poller) {
  netpoll = &poller;
  descriptor = poller.Take();
  if (descriptor != nullptr) return absl::OkStatus();
  return absl::ResourceExhaustedError("no memory for one more socket");
}

absl::Status PolledSocket::Watch() { return netpoll->Watch(fd, descriptor); }

PolledSocket& PolledSocket::operator=(PolledSocket&& other) noexcept {
  if (this == &other) return *this;
  Close();
  fd = std::exchange(other.fd, -1);
  descriptor = std::exchange(other.descriptor, nullptr);
  netpoll = std::exchange(other.netpoll, nullptr);
  return *this;
}

// Closing takes it out of the epoll instance.
void PolledSocket::Close() {
  if (fd >= 0) close(std::exchange(fd, -1));
  if (descriptor != nullptr) netpoll->Return(std::exchange(descriptor, nullptr));
}

}  // namespace internal

// ---- TcpStream

absl::StatusOr<TcpStream> TcpStream::Adopt(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Failed(errno, "fcntl");
  if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    const int error = errno;
    close(fd);
    return Failed(error, "fcntl");
  }
  absl::StatusOr<PolledSocket> socket = PolledSocket::Adopt(fd);
  if (!socket.ok()) return socket.status();
  return TcpStream(*std::move(socket));
}

absl::StatusOr<TcpStream> TcpStream::Connect(const SocketAddress& address, Deadline deadline,
                                             const std::stop_token& stop) {
  const absl::StatusOr<int> fd = NewSocket(address.family());
  if (!fd.ok()) return fd.status();
  SendAtOnce(*fd);
  // Before it is watched: a socket that neither listens nor is connected counts as hung up.
  const bool connected = connect(*fd, address.get(), address.size()) == 0;
  const int error = connected ? 0 : errno;
  absl::StatusOr<PolledSocket> socket = PolledSocket::Adopt(*fd);
  if (!socket.ok()) return socket.status();
  if (connected) return TcpStream(*std::move(socket));
  if (error != EINPROGRESS && error != EINTR) return Failed(error, "connect");
  const WaitLimits limits = {deadline, &stop};
  // As long as it is under way, an event may be of before.
  for (int state = EINPROGRESS; state != 0;) {
    const WaitStatus status = socket->descriptor->Wait(Descriptor::Way::kWrite, limits);
    if (status != WaitStatus::kOk) return LimitError(status, "connect");
    socklen_t size = sizeof(state);
    if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &state, &size) != 0) return Failed(errno, "connect");
    if (state != 0) return Failed(state, "connect");
    sockaddr_storage peer;
    size = sizeof(peer);
    if (getpeername(*fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) state = EINPROGRESS;
  }
  return TcpStream(*std::move(socket));
}

IoResult TcpStream::ReadSome(std::span<char> into, const WaitLimits& limits) {
  if (++reads_ >= kCallsMax) {
    reads_ = 0;
    Yield();
  }
  while (true) {
    if (drained_) {
      const WaitStatus status = socket_.descriptor->Wait(Descriptor::Way::kRead, limits);
      if (status != WaitStatus::kOk) return {.limit = status};
      drained_ = false;
      reads_ = 0;
    }
    __builtin_prefetch(socket_.descriptor, /*rw=*/1);  // while the kernel is at it
    const ssize_t got = recv(socket_.fd, into.data(), into.size(), 0);
    if (got >= 0) {
      const auto count = static_cast<size_t>(got);
      // Empty now, unless its end has come already, which makes no further event.
      drained_ = count < into.size() && !socket_.descriptor->ended();
      return {.count = count};
    }
    if (WouldBlock(errno)) {
      drained_ = true;
    } else if (errno != EINTR) {
      return {.error = errno};
    }
  }
}

IoResult TcpStream::WriteSome(std::span<const iovec> pieces, const WaitLimits& limits) {
  if (++writes_ >= kCallsMax) {
    writes_ = 0;
    Yield();
  }
  while (true) {
    const ssize_t sent = SendPieces(socket_.fd, pieces);
    if (sent >= 0) return {.count = static_cast<size_t>(sent)};
    if (WouldBlock(errno)) {
      const WaitStatus status = socket_.descriptor->Wait(Descriptor::Way::kWrite, limits);
      if (status != WaitStatus::kOk) return {.limit = status};
      writes_ = 0;
    } else if (errno != EINTR) {
      return {.error = errno};
    }
  }
}

absl::StatusOr<size_t> TcpStream::Read(std::span<char> into, Deadline deadline,
                                       const std::stop_token& stop) {
  const IoResult result = ReadSome(into, {deadline, &stop});
  if (!result.ok()) return Failed(result, "read");
  return result.count;
}

absl::StatusOr<size_t> TcpStream::WriteSome(std::string_view data, Deadline deadline,
                                            const std::stop_token& stop) {
  const iovec piece = {.iov_base = const_cast<char*>(data.data()), .iov_len = data.size()};
  const IoResult result = WriteSome(std::span(&piece, 1), {deadline, &stop});
  if (!result.ok()) return Failed(result, "write");
  return result.count;
}

absl::Status TcpStream::Write(std::string_view data, Deadline deadline,
                              const std::stop_token& stop) {
  while (!data.empty()) {
    const absl::StatusOr<size_t> sent = WriteSome(data, deadline, stop);
    if (!sent.ok()) return sent.status();
    data.remove_prefix(*sent);
  }
  return absl::OkStatus();
}

absl::Status TcpStream::ShutdownWrite() {
  if (shutdown(socket_.fd, SHUT_WR) != 0) return Failed(errno, "shutdown");
  return absl::OkStatus();
}

void TcpStream::Shutdown() { shutdown(socket_.fd, SHUT_RDWR); }

void TcpStream::Abort() {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  Close();
}

SocketAddress TcpStream::local_address() const { return AddressBy(&getsockname, socket_.fd); }

SocketAddress TcpStream::remote_address() const { return AddressBy(&getpeername, socket_.fd); }

// ---- TcpListener

absl::StatusOr<TcpListener> TcpListener::Listen(const SocketAddress& address,
                                                const ListenOptions& options) {
  const absl::StatusOr<int> fd = NewSocket(address.family());
  if (!fd.ok()) return fd.status();
  TcpListener listener;
  listener.socket_.fd = *fd;  // closes it if anything fails
  const int on = 1;
  if (address.family() != AF_UNIX) setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (options.reuse_port) setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (bind(*fd, address.get(), address.size()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listen at ", address.ToString()));
  }
  if (listen(*fd, options.backlog) != 0) return Failed(errno, "listen");
  absl::StatusOr<PolledSocket> socket = PolledSocket::Adopt(std::exchange(listener.socket_.fd, -1));
  if (!socket.ok()) return socket.status();
  listener.socket_ = *std::move(socket);
  return listener;
}

absl::StatusOr<TcpStream> TcpListener::Accept(Deadline deadline, const std::stop_token& stop) {
  if (++accepts_ >= TcpStream::kCallsMax) {
    accepts_ = 0;
    Yield();
  }
  if (!accepted_.is_open()) {
    if (absl::Status status = AcceptNext({deadline, &stop}); !status.ok()) return status;
  }
  absl::Status status = accepted_.Watch();
  // Refused for now: it is kept, as the backlog keeps those that come after it.
  if (status.code() == absl::StatusCode::kResourceExhausted) return status;
  PolledSocket accepted = std::move(accepted_);
  if (!status.ok()) return status;
  return TcpStream(std::move(accepted));
}

// Into accepted_, which is closed.
absl::Status TcpListener::AcceptNext(const WaitLimits& limits) {
  if (!is_open()) return Failed(EBADF, "accept");
  PolledSocket accepted;  // as far as memory goes; without, the connection waits
  if (absl::Status status = accepted.Prepare(*socket_.netpoll); !status.ok()) return status;
  while (true) {
    accepted.fd = accept4(socket_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted.is_open()) {
      SendAtOnce(accepted.fd);
      accepted_ = std::move(accepted);
      return absl::OkStatus();
    }
    const int error = errno;
    if (WouldBlock(error)) {
      const WaitStatus status = socket_.descriptor->Wait(Descriptor::Way::kRead, limits);
      if (status != WaitStatus::kOk) return LimitError(status, "accept");
      accepts_ = 0;
    } else if (error == ENOBUFS || error == ENOMEM) {
      return absl::ResourceExhaustedError(absl::StrCat("accept: no memory, errno ", error));
    } else if (!IsOfConnection(error)) {
      return Failed(error, "accept");
    }
  }
}

SocketAddress TcpListener::local_address() const { return AddressBy(&getsockname, socket_.fd); }

}  // namespace curg
