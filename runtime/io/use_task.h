// SPDX-License-Identifier: Apache-2.0
//
// UseTask: the completion token with which every asynchronous operation of Boost.Asio's (sockets,
// timers, resolver, signals, TLS, Beast, ...) becomes a call that blocks the task.
//
//   using boost::asio::ip::tcp;
//   tcp::socket socket(curg::IoExecutor());
//   // These throw boost::system::system_error.
//   socket.async_connect(endpoint, curg::UseTask());
//   size_t n = socket.async_read_some(boost::asio::buffer(data), curg::UseTask());
//
//   boost::system::error_code error;  // with one it does not throw
//   n = socket.async_read_some(boost::asio::buffer(data), curg::UseTask(error));
//   n = socket.async_read_some(boost::asio::buffer(data),
//   curg::UseTask(error).Until(curg::Deadline::After(5s)));
//
// All of an operation runs on the task that called it, with its labels: also the steps in between
// of composed ones. From a plain thread it blocks the thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/io/io_executor.h"  // IWYU pragma: export
#include "runtime/io/task_operation.h"
#include "runtime/wait_limits.h"

namespace curg {

namespace internal {
struct UseTaskParts;
}  // namespace internal

// What the call returns: what the handler would be given, without a leading error_code or
// std::exception_ptr: nothing, the one value, or a std::tuple of several.
class UseTask {
 public:
  // Errors are thrown, as boost::system::system_error.
  UseTask() = default;
  // `error` is set, to success if there is none. It must live as long as the call.
  explicit UseTask(boost::system::error_code& error) : error_(&error) {}

  // Cancels the operation at `deadline`, or when a stop is requested: the error then is
  // boost::asio::error::timed_out, or operation_aborted. The object can be used on. An operation
  // that knows no cancellation, such as a look-up of a name that is under way, is waited for in any
  // case.
  UseTask Until(Deadline deadline) const {
    UseTask token = *this;
    token.limits_.deadline = deadline;
    return token;
  }
  // `stop` must live as long as the call.
  UseTask Until(Deadline deadline, const std::stop_token& stop) const {
    UseTask token = Until(deadline);
    token.limits_.stop = &stop;
    return token;
  }
  UseTask Until(const std::stop_token& stop) const { return Until(Deadline::Never(), stop); }

 private:
  friend struct internal::UseTaskParts;

  boost::system::error_code* error_ = nullptr;
  internal::WaitLimits limits_;
};

namespace internal {

struct UseTaskParts {
  explicit UseTaskParts(const UseTask& token) : error(token.error_), limits(token.limits_) {}

  boost::system::error_code* error;
  WaitLimits limits;
};

// Splits what a handler is given into the error and the rest.
template <typename... Results>
struct SplitResults {
  using Error = void;
  using Values = std::tuple<Results...>;
};
template <typename... Rest>
struct SplitResults<boost::system::error_code, Rest...> {
  using Error = boost::system::error_code;
  using Values = std::tuple<Rest...>;
};
template <typename... Rest>
struct SplitResults<std::exception_ptr, Rest...> {
  using Error = std::exception_ptr;
  using Values = std::tuple<Rest...>;
};

// The error of an operation that a limit has ended tells which.
inline boost::system::error_code WithLimit(boost::system::error_code error, WaitStatus limit) {
  const bool timed_out =
      limit == WaitStatus::kTimeout && error == boost::asio::error::operation_aborted;
  return timed_out ? boost::system::error_code(boost::asio::error::timed_out) : error;
}

// The values behind an error, as the call returns them.
template <size_t kSkip, typename... Results>
decltype(auto) ReturnValues(std::tuple<Results...>&& results) {
  constexpr size_t kValues = sizeof...(Results) - kSkip;
  if constexpr (kValues == 1) {
    return std::tuple_element_t<kSkip, std::tuple<Results...>>(std::get<kSkip>(std::move(results)));
  } else if constexpr (kValues > 1) {
    return [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
      return std::tuple(std::get<kSkip + kIndex>(std::move(results))...);
    }
    (std::make_index_sequence<kValues>());
  }
}

}  // namespace internal
}  // namespace curg

template <typename Return, typename... Args>
class boost::asio::async_result<curg::UseTask, Return(Args...)> {
  using Split = curg::internal::SplitResults<std::decay_t<Args>...>;
  using Results = std::tuple<std::decay_t<Args>...>;

 public:
  template <typename Initiation, typename... InitArgs>
  static auto initiate(Initiation&& initiation, const curg::UseTask& token, InitArgs&&... args) {
    const curg::internal::UseTaskParts parts(token);
    std::optional<Results> results;
    curg::WaitStatus limit;
    {
      curg::internal::TaskOperation operation(parts.limits);
      std::forward<Initiation>(initiation)(
          curg::internal::TaskHandler<std::decay_t<Args>...>(operation, results),
          std::forward<InitArgs>(args)...);
      limit = operation.Wait();
    }
    if (!results) results.emplace(Abandoned());
    if constexpr (std::is_same_v<typename Split::Error, boost::system::error_code>) {
      const boost::system::error_code error =
          curg::internal::WithLimit(std::get<0>(*results), limit);
      if (parts.error != nullptr) *parts.error = error;
      if (error && parts.error == nullptr) throw boost::system::system_error(error);
      return curg::internal::ReturnValues<1>(*std::move(results));
    } else if constexpr (std::is_same_v<typename Split::Error, std::exception_ptr>) {
      if (std::get<0>(*results)) std::rethrow_exception(std::get<0>(*results));
      return curg::internal::ReturnValues<1>(*std::move(results));
    } else {
      return curg::internal::ReturnValues<0>(*std::move(results));
    }
  }

 private:
  // Of an operation that was dropped.
  static Results Abandoned() {
    const boost::system::error_code error = boost::asio::error::operation_aborted;
    if constexpr (std::is_same_v<typename Split::Error, boost::system::error_code> &&
                  std::is_default_constructible_v<Results>) {
      Results results;
      std::get<0>(results) = error;
      return results;
    } else {
      throw boost::system::system_error(error);
    }
  }
};
