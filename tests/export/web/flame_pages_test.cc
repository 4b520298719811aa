// SPDX-License-Identifier: Apache-2.0
#include "export/web/flame_pages.h"

#include <chrono>
#include <stop_token>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "tests/profiler/await_parked.h"
#include "tests/profiler/burn.h"

namespace curg {

[[gnu::noinline]] void BurnForThePage(std::stop_token stop) {
  while (!stop.stop_requested()) {
    internal::BurnCpu(std::chrono::milliseconds(5));
    Yield();
  }
}

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

DebugResponse Get(std::string_view target) {
  DebugPages pages;
  AddFlamePages(pages);
  return pages.Handle(DebugRequest::Get(target));
}

TEST(FlamePages, ServesThePage) {
  const DebugResponse response = Get("/debug/pprof/flame");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.Header("Content-Type"), HasSubstr("text/html"));
  EXPECT_THAT(response.body, HasSubstr("Content-Security-Policy"));
}

TEST(FlamePages, AreInTheIndexOnce) {
  const std::string index = Get("/debug/pprof/").WholeBody();
  EXPECT_THAT(index, HasSubstr("flame"));
  EXPECT_THAT(index, Not(HasSubstr("flame.json")));
}

TEST(FlamePages, ProfilesWhatRunsByLabel) {
  curg::Run([] {
    std::stop_source stop;
    JoinHandle<void> work = Go({.tag = Labels::Of({{"endpoint", "/search"}})},
                               [token = stop.get_token()] { BurnForThePage(token); });
    DebugResponse response;
    for (const char* seconds : {"1", "4", "16"}) {  // a busy machine may not run it for a second
      response = Get(std::string("/debug/pprof/flame.json?seconds=") + seconds);
      if (response.status != 200 || response.body.find("BurnForThePage") != std::string::npos)
        break;
    }
    stop.request_stop();
    work.Join();
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.Header("Content-Type"), HasSubstr("application/json"));
    EXPECT_THAT(response.body, AllOf(HasSubstr(R"("name":"curg::BurnForThePage")"),
                                     HasSubstr(R"({"labels":{"endpoint":"/search"}})")));
    return 0;
  });
}

TEST(FlamePages, ListsTasksWithTheirStacks) {
  curg::Run([] {
    TaskOptions options;
    options.name = "sleeper";
    options.tag = Labels::Of({{"tenant", "a\nb"}});
    std::stop_source stop;
    JoinHandle<void> sleeper =
        Go(options, [token = stop.get_token()] { SleepFor(std::chrono::hours(1), token); });
    AwaitParked(1, "sleeper");
    const DebugResponse response = Get("/debug/pprof/tasks.json");
    stop.request_stop();
    sleeper.Join();
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.body, AllOf(HasSubstr(R"("total":2,"tasks":[{"id":)"),
                                     HasSubstr(R"("name":"sleeper")"), HasSubstr("SleepFor")));
  });
}

TEST(FlamePages, RefusesWhatItCannotDo) {
  for (const char* seconds : {"0", "-1", "x", "3601", ""}) {
    EXPECT_EQ(Get(std::string("/debug/pprof/flame.json?seconds=") + seconds).status, 400)
        << seconds;
  }
}

// Whoever leaves does not keep the profiler.
TEST(FlamePages, EndsWithItsClient) {
  std::stop_source client;
  DebugRequest request = DebugRequest::Get("/debug/pprof/flame.json?seconds=3600");
  request.stop = client.get_token();
  std::thread leaves([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    client.request_stop();
  });
  EXPECT_EQ(internal::FlameJsonPage(request).status, 500);
  leaves.join();
  EXPECT_TRUE(StartCpuProfile().ok());
}

}  // namespace
}  // namespace curg
