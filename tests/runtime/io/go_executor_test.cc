// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/go_executor.h"

#include <gtest/gtest.h>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <string>

#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/io/io_executor.h"
#include "runtime/sync/channel.h"

namespace curg {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono_literals::operator""ms;

struct Seen {
  uint64_t task;
  std::string name;
  std::string endpoint;
};

Seen Here() {
  return {CurrentTaskId(), std::string(CurrentTaskName()),
          std::string(CurrentLabels().Get("endpoint").value_or(""))};
}

// A handler that is a plain callable: what it sees.
Seen InHandler(const GoExecutor& executor) {
  Channel<Seen> seen(1);
  asio::steady_timer timer(IoExecutor(), 1ms);
  timer.async_wait(asio::bind_executor(executor, [&](error_code error) {
    EXPECT_FALSE(error);
    SleepFor(1ms);  // it may wait
    seen.Send(Here());
  }));
  return *seen.Receive();
}

TEST(GoExecutor, HandlersAreTasksWithTheLabelsOfWhoStartedThem) {
  curg::Run({.workers = 2}, [] {
    SetLabels(Labels::Of({{"endpoint", "/outer"}}));
    ScopedLabels labels({{"endpoint", "/search"}});
    const Seen inherited = InHandler(GoExecutor({.name = "handler"}));
    EXPECT_NE(inherited.task, 0u);
    EXPECT_NE(inherited.task, CurrentTaskId());
    EXPECT_EQ(inherited.name, "handler");
    EXPECT_EQ(inherited.endpoint, "/search");
    EXPECT_EQ(InHandler(GoExecutor({.tag = Labels()})).endpoint, "");
    EXPECT_EQ(InHandler(GoExecutor({.tag = Labels::Of({{"endpoint", "/other"}})})).endpoint,
              "/other");
  });
}

TEST(GoExecutor, KeepsTheLabelsItWasMadeWith) {
  curg::Run([] {
    SetLabels(Labels::Of({{"endpoint", "/before"}}));
    const GoExecutor executor;
    SetLabels(Labels::Of({{"endpoint", "/after"}}));
    EXPECT_EQ(InHandler(executor).endpoint, "/before");
  });
}

TEST(GoExecutor, TakesWhatCanOnlyBeMoved) {
  curg::Run([] {
    Channel<int> numbers(1);
    asio::post(GoExecutor(),
               [number = std::make_unique<int>(4), &numbers] { numbers.Send(*number); });
    EXPECT_EQ(numbers.Receive(), 4);
  });
}

TEST(GoExecutor, PlainThreadsPostIntoARuntime) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  Channel<Seen> seen(1);
  SetLabels(Labels::Of({{"endpoint", "/thread"}}));
  asio::post(GoExecutor(*runtime), [&seen] { seen.Send(Here()); });
  const Seen there = *seen.Receive();
  EXPECT_NE(there.task, 0u);
  EXPECT_EQ(there.endpoint, "/thread");
  SetLabels(Labels());
}

}  // namespace
}  // namespace curg
