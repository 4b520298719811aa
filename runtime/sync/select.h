// SPDX-License-Identifier: Apache-2.0
//
// Select: waits for several channels at once and carries out one send or receive (Go's select).
//
//   curg::Select(curg::OnReceive(words, [&](std::optional<std::string> word) { ... }),
//                curg::OnSend(counts, total, [&] { ... }),
//                curg::OnTimeout(10ms, [&] { ... }),
//                curg::OnStop(token, [&] { ... }));
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/select_core.h"

namespace curg {

// The cases. Made by the functions below in the call of Select, and good for that call only: they
// refer to their arguments.

template <typename T, typename Fn>
struct SelectReceive {
  Channel<T>* channel;
  Fn fn;
  std::optional<T> value = {};

  void Bind(internal::SelectCase& one, internal::SelectLimits&, size_t) {
    if (channel != nullptr) one.channel = &channel->core_;
    one.slot = &value;
  }
  void Finish(const internal::SelectCase&) { std::invoke(fn, std::move(value)); }
};

template <typename T, typename Fn>
struct SelectSend {
  Channel<T>* channel;
  T* element;  // null: copy
  Fn fn;
  std::optional<T> copy = {};

  void Bind(internal::SelectCase& one, internal::SelectLimits&, size_t) {
    if (channel != nullptr) one.channel = &channel->core_;
    one.slot = element != nullptr ? element : &*copy;
    one.send = true;
  }
  void Finish(const internal::SelectCase& one) {
    if (one.status == WaitStatus::kClosed) internal::ThrowChannelClosed();
    std::invoke(fn);
  }
};

template <typename Fn>
struct SelectTimeout {
  Deadline deadline;
  Fn fn;

  void Bind(internal::SelectCase&, internal::SelectLimits& limits, size_t index) {
    if (limits.timeout_index != internal::kNoCase && limits.wait.deadline <= deadline) return;
    limits.wait.deadline = deadline;
    limits.timeout_index = index;
  }
  void Finish(const internal::SelectCase&) { std::invoke(fn); }
};

template <typename Fn>
struct SelectStop {
  const std::stop_token* token;
  Fn fn;
  static constexpr bool kIsStop = true;

  void Bind(internal::SelectCase&, internal::SelectLimits& limits, size_t index) {
    limits.wait.stop = token;
    limits.stop_index = index;
  }
  void Finish(const internal::SelectCase&) { std::invoke(fn); }
};

template <typename Fn>
struct SelectDefault {
  Fn fn;
  static constexpr bool kIsDefault = true;

  void Bind(internal::SelectCase&, internal::SelectLimits& limits, size_t index) {
    limits.default_index = index;
  }
  void Finish(const internal::SelectCase&) { std::invoke(fn); }
};

// Receives from `channel`: fn(std::optional<T>), empty when it is closed and drained. A null
// pointer is a channel that is never ready, which switches the case off.
template <typename T, std::invocable<std::optional<T>> Fn>
SelectReceive<T, Fn> OnReceive(Channel<T>& channel, Fn fn) {
  return {&channel, std::move(fn)};
}
template <typename T, std::invocable<std::optional<T>> Fn>
SelectReceive<T, Fn> OnReceive(Channel<T>* channel, Fn fn) {
  return {channel, std::move(fn)};
}

// Sends `value` to `channel`, then fn(). An rvalue is moved from only if this case is chosen.
template <typename T, std::invocable Fn>
SelectSend<T, Fn> OnSend(Channel<T>& channel, std::type_identity_t<T>&& value, Fn fn) {
  return {&channel, &value, std::move(fn)};
}
template <typename T, std::invocable Fn>
SelectSend<T, Fn> OnSend(Channel<T>* channel, std::type_identity_t<T>&& value, Fn fn) {
  return {channel, &value, std::move(fn)};
}
template <std::copy_constructible T, std::invocable Fn>
SelectSend<T, Fn> OnSend(Channel<T>& channel, const std::type_identity_t<T>& value, Fn fn) {
  return {&channel, nullptr, std::move(fn), value};
}
template <std::copy_constructible T, std::invocable Fn>
SelectSend<T, Fn> OnSend(Channel<T>* channel, const std::type_identity_t<T>& value, Fn fn) {
  return {channel, nullptr, std::move(fn), value};
}

// Nothing was ready until the deadline. Of several, the earliest counts.
template <std::invocable Fn>
SelectTimeout<Fn> OnTimeout(Deadline deadline, Fn fn) {
  return {deadline, std::move(fn)};
}
template <std::invocable Fn>
SelectTimeout<Fn> OnTimeout(std::chrono::nanoseconds duration, Fn fn) {
  return {Deadline::After(duration), std::move(fn)};
}

// A stop was requested while nothing was ready.
template <std::invocable Fn>
SelectStop<Fn> OnStop(const std::stop_token& token, Fn fn) {
  return {&token, std::move(fn)};
}

// Nothing is ready at this moment: then Select does not wait.
template <std::invocable Fn>
SelectDefault<Fn> OnDefault(Fn fn) {
  return {std::move(fn)};
}

// Waits until one of the sends or receives can be done, does it, calls its function, and returns
// its place among the arguments, from 0. If several can be done at once, each has the same chance,
// whatever their order. Without any case, it waits for ever. What the function throws is thrown; a
// send on a closed channel counts as ready, and throws ChannelClosed when chosen.
// Thread-safe. Waiting allocates nothing. Blocks: the task or the plain thread.
template <typename... Cases>
size_t Select(Cases&&... cases) {
  static_assert((0 + ... + requires { Cases::kIsStop; }) <= 1, "one OnStop will do");
  static_assert((0 + ... + requires { Cases::kIsDefault; }) <= 1, "one OnDefault will do");
  internal::SelectCase bound[sizeof...(Cases) + 1];  // never empty; the last has no channel
  internal::SelectLimits limits;
  size_t index = 0;
  ((cases.Bind(bound[index], limits, index), ++index), ...);
  const size_t chosen = internal::SelectCore::Run(bound, limits);
  index = 0;
  (void)((index++ == chosen && (cases.Finish(bound[chosen]), true)) || ...);
  return chosen;
}

}  // namespace curg
