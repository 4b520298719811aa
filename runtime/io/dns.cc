// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/dns.h"

#include <netdb.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/blocking.h"
#include "runtime/go.h"
#include "runtime/limit_error.h"
#include "runtime/sync/channel.h"
#include "runtime/system_stack.h"

namespace curg {
namespace {

using Addresses = absl::StatusOr<std::vector<SocketAddress>>;

absl::Status Failed(int code, int error, const std::string& what) {
  if (code == EAI_SYSTEM) return absl::ErrnoToStatus(error, what);
  const std::string message = absl::StrCat(what, ": ", gai_strerror(code));
  switch (code) {
    case EAI_AGAIN:
      return absl::UnavailableError(message);
    case EAI_MEMORY:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::NotFoundError(message);
  }
}

Addresses LookUp(const std::string& host, const std::string& service, int flags) {
  addrinfo hints = {};
  hints.ai_flags = flags;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int code = getaddrinfo(host.c_str(), service.c_str(), &hints, &first);
  if (code != 0) return Failed(code, errno, absl::StrCat("looking up ", host, ":", service));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> found(first, &freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = first; entry != nullptr; entry = entry->ai_next) {
    addresses.emplace_back(entry->ai_addr, entry->ai_addrlen);
  }
  return addresses;
}

// Between who asks and the task that looks up, either of which may be gone first.
struct Question {
  std::string host;
  std::string service;
  std::stop_source given_up;
  Channel<Addresses> answer{1};
};

void Answer(Question& question) {
  auto joined = Blocking(question.given_up.get_token(), [&question] {
    return OnSystemStack(
        [&question] { return LookUp(question.host, question.service, AI_ADDRCONFIG); });
  });
  if (joined.value) (void)question.answer.TrySend(*std::move(joined.value));
}

}  // namespace

Addresses Resolve(const std::string& host, const std::string& service, Deadline deadline,
                  const std::stop_token& stop) {
  Addresses numbers = LookUp(host, service, AI_NUMERICHOST | AI_NUMERICSERV);
  if (numbers.ok()) return numbers;
  if (CurrentTaskId() == 0) return LookUp(host, service, AI_ADDRCONFIG);
  const auto question = std::make_shared<Question>();
  question->host = host;
  question->service = service;
  // the handle's end detaches it
  const auto task = TryGo({.name = "look up"}, [question] { Answer(*question); });
  if (!task.ok()) return task.status();
  auto answer = question->answer.ReceiveUntil(deadline, stop);
  if (answer.value) return *std::move(answer.value);
  question->given_up.request_stop();  // it does not begin, if it stands in line
  return internal::LimitError(answer.status, absl::StrCat("looking up ", host, ":", service));
}

}  // namespace curg
