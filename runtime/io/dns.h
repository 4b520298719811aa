// SPDX-License-Identifier: Apache-2.0
//
// Resolve: the addresses of a host by its name.
//
//   absl::StatusOr<std::vector<curg::SocketAddress>> found =
//       curg::Resolve("example.org", "https", curg::Deadline::After(2s));
//
// The look-up is getaddrinfo's (files, DNS, whatever the system is configured for), in Blocking and
// on a large stack. Nothing in the world interrupts getaddrinfo: when a limit comes first, the
// caller goes on at once, the call stays behind in a task of its own, one of
// RuntimeOptions::blocking_max, until it is over, and what it found is dropped.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/io/socket_address.h"

namespace curg {

// The stream addresses of `host`, in the order to try them, with the port that `service` (a number,
// or a name such as "https") stands for. At least one. Numbers ("127.0.0.1", "::1") are not
// looked up.
// NOT_FOUND: there is no such host or service. UNAVAILABLE: the name service does not answer; later
// it may. DEADLINE_EXCEEDED, CANCELLED: the deadline has passed, a stop was requested.
// Thread-safe. Blocks: the task; a plain thread for the whole call, whatever the limits.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const std::string& host,
                                                   const std::string& service,
                                                   Deadline deadline = Deadline::Never(),
                                                   const std::stop_token& stop = {});

}  // namespace curg
