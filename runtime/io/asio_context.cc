// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/asio_context.h"

#include <memory>

#include "runtime/io/io_executor.h"
#include "runtime/scheduler.h"

namespace curg {
namespace internal {

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
  if (!waits_for_own_) {
    waits_for_own_ = true;
    own_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code) {
      waits_for_own_ = false;
      netpoll_.OwnIsReady();
    });
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

}  // namespace internal

boost::asio::io_context::executor_type IoExecutor() {
  return internal::AsioContext::Of(internal::Netpoll::Current()).context().get_executor();
}

boost::asio::io_context::executor_type IoExecutor(Runtime& runtime) {
  internal::Netpoll& netpoll = internal::Netpoll::Of(*internal::SchedulerOf(runtime));
  return internal::AsioContext::Of(netpoll).context().get_executor();
}

}  // namespace curg
