// SPDX-License-Identifier: Apache-2.0
//
// Sleeping, and being woken from it.
#include <chrono>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

void OnBoth(const std::function<void()>& body) {
  body();
  curg::Run({.workers = 1}, body);
}

TEST(Sleep, WholeTime) {
  OnBoth([] {
    std::stop_source source;
    const auto start = steady_clock::now();
    SleepFor(2ms);
    EXPECT_TRUE(SleepFor(2ms, source.get_token()));
    EXPECT_TRUE(SleepFor(2ms, std::stop_token()));
    SleepUntil(start + 8ms);
    EXPECT_TRUE(SleepUntil(start + 10ms, source.get_token()));
    EXPECT_TRUE(SleepUntil(std::chrono::system_clock::now() + 1ms, source.get_token()));
    EXPECT_GE(steady_clock::now() - start, 11ms);
  });
}

TEST(Sleep, EndsWhenAStopIsRequested) {
  OnBoth([] {
    std::stop_source source;
    std::jthread requester([&] {
      std::this_thread::sleep_for(5ms);
      source.request_stop();
    });
    const auto start = steady_clock::now();
    EXPECT_FALSE(SleepFor(1h, source.get_token()));
    EXPECT_FALSE(SleepUntil(Deadline::Never(), source.get_token()));
    EXPECT_LT(steady_clock::now() - start, 30min);
  });
}

TEST(Sleep, NotAtAllAfterTheStop) {
  OnBoth([] {
    std::stop_source source;
    source.request_stop();
    EXPECT_FALSE(SleepFor(0ms, source.get_token()));
    EXPECT_FALSE(SleepFor(-1ms, source.get_token()));
    EXPECT_FALSE(SleepUntil(steady_clock::now() - 1s, source.get_token()));
  });
}

TEST(Sleep, ManyAreWokenByOneStop) {
  curg::Run({.workers = 2}, [] {
    std::stop_source source;
    std::vector<JoinHandle<bool>> sleepers;
    for (int i = 0; i < 100; ++i) {
      sleepers.push_back(Go([token = source.get_token()] { return SleepFor(1h, token); }));
    }
    SleepFor(2ms);
    source.request_stop();
    for (auto& sleeper : sleepers) EXPECT_FALSE(sleeper.Join());
  });
}

}  // namespace
}  // namespace curg
