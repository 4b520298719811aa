// SPDX-License-Identifier: Apache-2.0
//
// Netpoll: the poller of one scheduler: an epoll instance of its own, for the TCP helpers, and
// Boost.Asio's reactor beside it once somebody asks for that.
//
//   idle worker -> Wait -+-> epoll_wait(own)                                   no Asio yet
//                        +-> io_context::run_one -> epoll_wait(Asio's, and in it own)
//
// In the own instance are the sockets of tcp.h, edge-triggered and never armed again; an eventfd
// for Break; and a timerfd for deadlines, since Asio rounds its time-outs up to a millisecond.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "runtime/claim_waiter.h"
#include "runtime/io/descriptor.h"
#include "runtime/poller.h"

namespace curg::internal {

class Scheduler;

// What Netpoll needs of Asio (reactor.h), which is linked only where it is used.
class AsioEngine {
 public:
  virtual ~AsioEngine() = default;
  // Runs one handler, waiting for one if `block`; calls OwnIsReady when something is ready in
  // Netpoll's own instance, as if that were a handler.
  virtual void RunOne(bool block) noexcept = 0;
  // Runs handlers that are ready, up to a limit. What a handler throws ends the process.
  virtual void RunReady() noexcept = 0;
  // Whether operations or handlers of the program's are under way. Thread-safe; true while in
  // doubt.
  virtual bool HasWork() const = 0;
};

class Netpoll final : public Poller {
 public:
  // That of `scheduler`; made at first use. Thread-safe.
  static Netpoll& Of(Scheduler& scheduler);
  // That of the calling task's scheduler. Requires: a task.
  static Netpoll& Current();

  Netpoll();
  ~Netpoll() override;

  // Poller.
  bool Wait(int64_t deadline) override;
  void Dispatch() override;
  void Break() override;
  bool MayWake() const override;

  // For a socket to come; null: no memory. Thread-safe. Blocks: nothing.
  Descriptor* Take() { return descriptors_.Take(); }
  // Watches `fd`, a non-blocking socket, from now on until it is closed. RESOURCE_EXHAUSTED: the
  // kernel's limit (max_user_watches), or memory. Thread-safe. Blocks: nothing.
  absl::Status Watch(int fd, Descriptor* descriptor);
  // After `fd` was closed. Thread-safe.
  void Return(Descriptor* descriptor) { descriptors_.Return(descriptor); }

  // Asio beside it, made at first use. Thread-safe.
  AsioEngine& UseAsio(std::unique_ptr<AsioEngine> (*make)(Netpoll& netpoll));

  // Wakes a claimed waiter; where that is the worker inside Wait, once it is awake. Thread-safe.
  void Wake(ClaimWaiter* waiter);

  // The own epoll instance, which can itself be waited for; and that it has become ready, in a
  // handler of Asio's.
  int fd() const { return epoll_; }
  void OwnIsReady() { own_is_ready_ = true; }
  // It ends, and what was under way in it is dropped: nobody must be woken any more.
  bool ending() const { return ending_; }

 private:
  static constexpr int kEventsMax = 128;
  // If the last wait was no longer than the first, the next one begins with as long of looking as
  // the second says: to be put to sleep and woken takes longer, of this CPU's time and of the time
  // of whoever makes the event.
  static constexpr int64_t kShortWaitNs = 30'000;
  static constexpr int64_t kLookNs = 10'000;

  void Arm(int64_t deadline);
  void Collect(int timeout_ms);
  bool Look();
  bool LookForAWhile();
  void WakeWaiters();

  int epoll_;
  int break_;  // eventfd
  int timer_;  // timerfd
  bool ending_ = false;
  DescriptorPool descriptors_;
  std::mutex asio_lock_;  // for making it
  std::atomic<AsioEngine*> asio_{nullptr};

  // The timekeeper's.
  int64_t armed_ = 0;            // for when the timerfd is set, if that is to come
  bool last_was_short_ = false;  // wait
  epoll_event events_[kEventsMax];
  int event_count_ = 0;
  bool own_is_ready_ = false;                    // known from Asio, not yet collected
  std::vector<ClaimWaiter*> woken_;              // by handlers, inside Wait
  std::atomic<const void*> collector_{nullptr};  // the worker inside Wait
};

}  // namespace curg::internal
