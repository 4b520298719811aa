// SPDX-License-Identifier: Apache-2.0
//
// Stoppable: what can be called with a stop token, or without one (as std::jthread takes it).
#pragma once

#include <concepts>
#include <functional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace curg::internal {

template <typename Fn>
concept Stoppable = std::invocable<Fn, std::stop_token> || std::invocable<Fn>;

// Calls fn(stop) if that is possible, else fn().
template <typename Fn>
decltype(auto) InvokeStoppable(Fn&& fn, const std::stop_token& stop) {
  if constexpr (std::invocable<Fn, std::stop_token>) {
    return std::invoke(std::forward<Fn>(fn), stop);
  } else {
    return std::invoke(std::forward<Fn>(fn));
  }
}

template <typename Fn>
using StoppableResult =
    decltype(InvokeStoppable(std::declval<std::decay_t<Fn>>(), std::declval<std::stop_token>()));

}  // namespace curg::internal
