// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace wordcount {
namespace {

constexpr int64_t kIntervalNs = 100'000'000;

int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Progress::Progress() : on_terminal_(isatty(STDERR_FILENO) != 0), next_ns_(NowNs() + kIntervalNs) {}

// All relaxed: numbers to look at, and at worst a line shown twice.
void Progress::AddFile(int64_t bytes) {
  const int64_t files = files_.fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t all = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (!on_terminal_) return;
  const int64_t now = NowNs();
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now < next ||
      !next_ns_.compare_exchange_strong(next, now + kIntervalNs, std::memory_order_relaxed)) {
    return;
  }
  shown_.store(true, std::memory_order_relaxed);
  std::fprintf(stderr, "\r%lld files, %lld MB\033[K", static_cast<long long>(files),
               static_cast<long long>(all / 1'000'000));
}

void Progress::Clear() {
  if (shown_.exchange(false, std::memory_order_relaxed)) std::fputs("\r\033[K", stderr);
}

}  // namespace wordcount
