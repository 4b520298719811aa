// SPDX-License-Identifier: Apache-2.0
//
// ExploreWorld: Explore for a structure by itself and the threads that use it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/sync/model/explorer.h"

namespace curg::model {

// Goes through the schedules of threads that each do one of `bodies` to a World made anew for each
// schedule; the last thread to let go of it destroys it. Fails when hardly any were found.
template <typename World>
void ExploreWorld(const Options& options, const std::vector<std::function<void(World&)>>& bodies) {
  const int64_t schedules = Explore(options, [&bodies] {
    auto world = std::make_shared<World>();
    std::vector<std::function<void()>> threads;
    for (const auto& body : bodies) threads.push_back([world, body] { body(*world); });
    return threads;
  });
  std::printf("%lld schedules\n", static_cast<long long>(schedules));
  EXPECT_GT(schedules, 1000);
}

}  // namespace curg::model
