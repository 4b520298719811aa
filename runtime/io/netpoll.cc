// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/netpoll.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/caller.h"
#include "runtime/check.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"
#include "runtime/tick_clock.h"
#include "runtime/timers.h"

namespace curg::internal {
namespace {

constexpr uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

Netpoll& Netpoll::Of(Scheduler& scheduler) {
  Poller& poller =
      scheduler.UsePoller([]() -> std::unique_ptr<Poller> { return std::make_unique<Netpoll>(); });
  return static_cast<Netpoll&>(poller);  // the only one there is
}

Netpoll& Netpoll::Current() {
  const Worker* const worker = CurrentWorker();
  if (worker == nullptr)
    FatalMisuse("uses I/O on no task, or inside Blocking; a plain thread starts a task for it");
  return Of(worker->scheduler);
}

Netpoll::Netpoll()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      break_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  CURG_CHECK(epoll_ >= 0 && break_ >= 0 && timer_ >= 0,
             "the first I/O needs three file descriptors");
  // Neither is ever read: each write, and each expiry, is an edge.
  for (const int fd : {break_, timer_}) {
    epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
    CURG_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "free kernel memory for epoll");
  }
}

Netpoll::~Netpoll() {
  ending_ = true;
  delete asio_.load(std::memory_order_relaxed);
  for (const int fd : {epoll_, break_, timer_}) close(fd);
}

absl::Status Netpoll::Watch(int fd, Descriptor* descriptor) {
  epoll_event event = {.events = kEdges, .data = {.ptr = descriptor}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  const int error = errno;
  if (error == ENOSPC || error == ENOMEM) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the kernel watches no more file descriptors (fs.epoll.",
                     "max_user_watches): errno ", error));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("watching file descriptor ", fd));
}

AsioEngine& Netpoll::UseAsio(std::unique_ptr<AsioEngine> (*make)(Netpoll& netpoll)) {
  // acquire: with the store below
  if (AsioEngine* const asio = asio_.load(std::memory_order_acquire)) return *asio;
  std::lock_guard lock(asio_lock_);
  if (asio_.load(std::memory_order_relaxed) == nullptr) {
    // seq_cst: before the Break; a Wait that begins later than that sees it.
    asio_.store(make(*this).release(), std::memory_order_seq_cst);
    Break();
  }
  return *asio_.load(std::memory_order_relaxed);
}

// Sets the timerfd, unless it comes early enough anyway: deadlines that move on cost a wake-up now
// and then, not a system call each.
void Netpoll::Arm(int64_t deadline) {
  if (deadline == TimerQueue::kNever) return;
  if (armed_ != 0 && armed_ <= deadline && armed_ > MonotonicNow()) return;
  const itimerspec when = {
      .it_interval = {},
      .it_value = {.tv_sec = deadline / 1'000'000'000, .tv_nsec = deadline % 1'000'000'000}};
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
  armed_ = deadline;
}

void Netpoll::Collect(int timeout_ms) {
  const int count = epoll_wait(epoll_, events_, kEventsMax, timeout_ms);
  event_count_ = std::max(count, 0);  // EINTR: as if nothing came
}

// True: something has come.
bool Netpoll::Look() {
  Collect(0);
  return event_count_ > 0;
}

bool Netpoll::LookForAWhile() {
  const uint64_t start = TickClock::Now();
  do {
    if (Look()) return true;
  } while (TickClock::ToNs(TickClock::Now() - start) < kLookNs);
  return false;
}

bool Netpoll::Wait(int64_t deadline) {
  const bool block = deadline > 0;
  AsioEngine* const asio = asio_.load(std::memory_order_seq_cst);  // seq_cst: with UseAsio()
  if (asio == nullptr) {
    if (!block) return Look();
    if (last_was_short_ && LookForAWhile()) return true;
    const uint64_t start = TickClock::Now();
    Arm(deadline);
    Collect(-1);
    last_was_short_ = TickClock::ToNs(TickClock::Now() - start) < kShortWaitNs;
    return event_count_ > 0;
  }
  if (block) Arm(deadline);
  collector_.store(CurrentWorker(), std::memory_order_relaxed);  // relaxed, both: of interest to
                                                                 // this thread only
  asio->RunOne(block);
  collector_.store(nullptr, std::memory_order_relaxed);
  return true;
}

// Each event leads to a descriptor and a task, most of them in nobody's cache. So it goes through
// all events three times, and fetches ahead what the next time needs: for them all together that
// takes as long as for one.
void Netpoll::WakeWaiters() {
  for (int i = 0; i < event_count_; ++i) __builtin_prefetch(events_[i].data.ptr, /*rw=*/1);
  std::array<Descriptor::Taken, size_t{2} * kEventsMax> waiters;
  size_t count = 0;
  const auto add = [&](Descriptor::Taken taken) {
    if (!taken) return;
    taken.FetchAhead();
    waiters[count++] = taken;
  };
  for (int i = 0; i < event_count_; ++i) {
    auto* const descriptor = static_cast<Descriptor*>(events_[i].data.ptr);
    if (descriptor == nullptr) continue;
    const Descriptor::Woken woken = descriptor->OnEvents(events_[i].events);
    add(woken.reader);
    add(woken.writer);
  }
  for (size_t i = 0; i < count; ++i) waiters[i].Wake();
}

void Netpoll::Dispatch() {
  for (ClaimWaiter* waiter : woken_) waiter->Wake();
  woken_.clear();
  WakeWaiters();
  event_count_ = 0;
  AsioEngine* const asio = asio_.load(std::memory_order_acquire);  // acquire: it may be newer than
                                                                   // Wait
  if (asio == nullptr) return;
  asio->RunReady();
  while (std::exchange(own_is_ready_, false)) {
    Collect(0);
    WakeWaiters();
    own_is_ready_ = event_count_ == kEventsMax;
    event_count_ = 0;
  }
}

void Netpoll::Break() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(break_, &one, sizeof(one));
}

void Netpoll::Wake(ClaimWaiter* waiter) {
  const void* const collector = collector_.load(std::memory_order_relaxed);
  if (collector != nullptr && collector == CurrentWorker()) {
    woken_.push_back(waiter);
  } else {
    waiter->Wake();
  }
}

bool Netpoll::MayWake() const {
  const AsioEngine* const asio = asio_.load(std::memory_order_acquire);  // acquire: with UseAsio()
  return (asio != nullptr && asio->HasWork()) ||
         const_cast<DescriptorPool&>(descriptors_).AnyWaiter();
}

}  // namespace curg::internal
