// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/asio_context.h"

#include <boost/asio/detail/scheduler.hpp>

#include <memory>

#include "runtime/io/io_executor.h"
#include "runtime/scheduler.h"

namespace curg {
namespace internal {
namespace {

// Asio counts the operations, handlers and executors that keep a context running, but tells the
// number to nobody. The standard lets an explicit instantiation name what is private.
template <auto kMember>
struct WorkCount {
  friend long WorkCountOf(const boost::asio::detail::scheduler& scheduler) {
    return scheduler.*kMember;
  }
};
long WorkCountOf(const boost::asio::detail::scheduler& scheduler);
template struct WorkCount<&boost::asio::detail::scheduler::outstanding_work_>;

}  // namespace

AsioContext& AsioContext::Of(Netpoll& netpoll) {
  AsioEngine& engine = netpoll.UseAsio([](Netpoll& made_for) -> std::unique_ptr<AsioEngine> {
    return std::make_unique<AsioContext>(made_for);
  });
  return static_cast<AsioContext&>(engine);  // the only one there is
}

AsioContext::AsioContext(Netpoll& netpoll)
    : netpoll_(netpoll), work_(context_.get_executor()), own_(context_, netpoll.fd()) {}

AsioContext::~AsioContext() { own_.release(); }

void AsioContext::RunOne(bool block) noexcept {
  if (context_.stopped()) context_.restart();  // somebody called stop(), which is not theirs to do
  if (!waits_for_own_.load(std::memory_order_relaxed)) {
    own_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [this](boost::system::error_code) {
                      waits_for_own_.store(false, std::memory_order_relaxed);
                      netpoll_.OwnIsReady();
                    });
    waits_for_own_.store(true, std::memory_order_relaxed);  // when it is counted: see HasWork()
  }
  if (block) {
    context_.run_one();
  } else {
    context_.poll_one();
  }
}

void AsioContext::RunReady() noexcept {
  for (int i = 0; i < kHandlersMax && context_.poll_one() > 0; ++i) {
  }
}

// Beside what is under way are our own: the guard, and the wait for the own instance.
bool AsioContext::HasWork() const {
  const long own = waits_for_own_.load(std::memory_order_relaxed) ? 2 : 1;
  auto& context = const_cast<boost::asio::io_context&>(context_);  // use_service wants it so
  return WorkCountOf(boost::asio::use_service<boost::asio::detail::scheduler>(context)) > own;
}

}  // namespace internal

boost::asio::io_context::executor_type IoExecutor() {
  return internal::AsioContext::Of(internal::Netpoll::Current()).context().get_executor();
}

boost::asio::io_context::executor_type IoExecutor(Runtime& runtime) {
  internal::Netpoll& netpoll = internal::Netpoll::Of(*internal::SchedulerOf(runtime));
  return internal::AsioContext::Of(netpoll).context().get_executor();
}

}  // namespace curg
