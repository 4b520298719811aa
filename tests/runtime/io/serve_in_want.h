// SPDX-License-Identifier: Apache-2.0
//
// A server that meets the want of something, for tests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <stop_token>

#include "absl/status/status.h"
#include "runtime/go.h"
#include "runtime/io/serve.h"
#include "runtime/io/tcp.h"

namespace curg {

// Says "after all" to everybody, and counts how often something was wanting.
inline JoinHandle<absl::Status> ServeInWant(TcpListener& listener, std::atomic<int>& troubles,
                                            const std::stop_token& stop) {
  return Go([&listener, &troubles, stop] {
    ServeOptions options;
    options.on_trouble = [&](const absl::Status& status) {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
      ++troubles;
    };
    return Serve(
        listener, options, [](TcpStream stream) { EXPECT_TRUE(stream.Write("after all").ok()); },
        stop);
  });
}

}  // namespace curg
