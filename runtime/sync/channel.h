// SPDX-License-Identifier: Apache-2.0
//
// Channel: a queue between tasks (Go's chan). Start here for talking between tasks.
//
//   curg::Channel<std::string> words(16);
//   curg::Go([&] {
//     while (std::optional<std::string> word = NextWord()) words.Send(std::move(*word));
//     words.Close();
//   });
//   for (const std::string& word : words) Count(word);
//
// Waiting for several channels at once: select.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <new>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/sync/channel_core.h"
#include "runtime/wait_status.h"

namespace curg {

// What a receive that may give up came back with: a value exactly when `status` is kOk.
template <typename T>
struct Received {
  WaitStatus status = WaitStatus::kWouldBlock;
  std::optional<T> value;

  explicit operator bool() const { return value.has_value(); }
  T& operator*() { return *value; }
  T* operator->() { return &*value; }
};

// Carries values of T from senders to receivers, first in, first out, holding up to `capacity` of
// them. Without capacity a send waits for its receiver. T needs a move constructor that does not
// throw and does not use the channel: it may run under the channel's lock.
//
// Shared by reference: it must outlive every call on it, but a receiver that knows that no other
// call is to come may destroy it as soon as it has its value. Waiting allocates nothing.
// Memory ordering: what happened before a send is visible after the receive of its value; what
// happened before a close, after a receive that says closed.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
template <typename T>
class Channel {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "a Channel's elements must be movable without throwing; send a std::unique_ptr");
  static_assert(std::is_nothrow_destructible_v<T>);

 public:
  // Throws std::length_error when the capacity is absurd, std::bad_alloc when memory is short.
  explicit Channel(size_t capacity = 0) : core_(capacity, kOps) {}
  // Aborts, naming the caller, when somebody waits on it. Destroys what is left in it.
  ~Channel() = default;

  // Sends `value`, waiting for room or a receiver. Throws ChannelClosed when the channel is closed,
  // before or while it waits; the value is then still the caller's.
  // Blocks: the task or the plain thread.
  void Send(T&& value) { ThrowIfClosed(core_.Send(&value, {})); }
  void Send(const T& value) requires std::copy_constructible<T> { Send(T(value)); }

  // As Send, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled), and
  // says kClosed instead of throwing. Moves from `value` only if the result is kOk.
  WaitStatus SendUntil(T&& value, Deadline deadline, const std::stop_token& stop = {}) {
    return core_.Send(&value, {deadline, &stop});
  }
  WaitStatus SendUntil(const T& value, Deadline deadline,
                       const std::stop_token& stop = {}) requires std::copy_constructible<T> {
    return SendUntil(T(value), deadline, stop);
  }
  WaitStatus Send(T&& value, const std::stop_token& stop) {
    return SendUntil(std::move(value), Deadline::Never(), stop);
  }
  WaitStatus Send(const T& value, const std::stop_token& stop) requires std::copy_constructible<T> {
    return Send(T(value), stop);
  }

  // Sends if that needs no waiting: kOk, kWouldBlock or kClosed. Moves from `value` only if kOk.
  // Blocks: nothing.
  WaitStatus TrySend(T&& value) { return core_.TrySend(&value); }
  WaitStatus TrySend(const T& value) requires std::copy_constructible<T> {
    return TrySend(T(value));
  }

  // The next value, waiting for one; nothing when the channel is closed and drained.
  // Blocks: the task or the plain thread.
  std::optional<T> Receive() {
    std::optional<T> value;
    (void)core_.Receive(&value, {});
    return value;
  }

  // As Receive, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled).
  Received<T> ReceiveUntil(Deadline deadline, const std::stop_token& stop = {}) {
    Received<T> received;
    received.status = core_.Receive(&received.value, {deadline, &stop});
    return received;
  }
  Received<T> Receive(const std::stop_token& stop) { return ReceiveUntil(Deadline::Never(), stop); }

  // A value if there is one to be had at once; else the status is kWouldBlock or kClosed.
  // Blocks: nothing.
  Received<T> TryReceive() {
    Received<T> received;
    received.status = core_.TryReceive(&received.value);
    return received;
  }

  // Ends the channel: no value can be sent any more, those in it can still be received. Senders
  // that wait throw, receivers that wait get nothing. True if this call did it, false if it was
  // closed before.
  // Blocks: nothing.
  bool Close() { return core_.Close(); }

  size_t capacity() const { return core_.capacity(); }
  // Values held now; out of date when others use the channel.
  size_t size() const { return core_.size(); }
  // Whether it was closed; values may be left. Out of date when others may close it.
  bool closed() const { return core_.closed(); }

  // Receives one value after the other until the channel is closed and drained.
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Channel& channel) : channel_(&channel), value_(channel.Receive()) {}
    T& operator*() const { return *value_; }
    Iterator& operator++() {
      // Not an assignment: T need not have one.
      value_.reset();
      (void)channel_->core_.Receive(&value_, {});
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !value_.has_value(); }

   private:
    Channel* channel_;
    mutable std::optional<T> value_;
  };
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() { return {}; }

 private:
  friend struct internal::SyncProbe;  // tests
  template <typename, typename>
  friend struct SelectReceive;
  template <typename, typename>
  friend struct SelectSend;

  static constexpr internal::ElementOps kOps = {
      .size = sizeof(T),
      .alignment = alignof(T),
      .emplace =
          [](void* optional, void* from) {
            static_cast<std::optional<T>*>(optional)->emplace(std::move(*static_cast<T*>(from)));
          },
      .store = [](void* raw, void* from) { ::new (raw) T(std::move(*static_cast<T*>(from))); },
      .destroy = [](void* element) { static_cast<T*>(element)->~T(); },
  };

  static void ThrowIfClosed(WaitStatus status) {
    if (status == WaitStatus::kClosed) [[unlikely]]
      internal::ThrowChannelClosed();
  }

  mutable internal::ChannelCore core_;
};

}  // namespace curg
