// SPDX-License-Identifier: Apache-2.0
//
// Watchdog: ends a test that no longer gets on, and says what its tasks were doing.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace curg::internal {

// While one is alive, somebody must call Progress every now and then; otherwise it prints how many
// tasks are in which state and aborts the process. A lost wake-up so becomes a failure instead of a
// time-out.
// Thread-safe.
class Watchdog {
 public:
  // `patience` is for a machine that is busy with other things. Time for which the watchdog was not
  // run itself does not count.
  explicit Watchdog(std::chrono::seconds patience = std::chrono::seconds(30));
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void Progress() { progress_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void Watch(std::chrono::seconds patience);

  std::atomic<uint64_t> progress_{0};
  std::mutex lock_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by lock_
  std::thread thread_;
};

}  // namespace curg::internal
