// SPDX-License-Identifier: Apache-2.0
//
// All that //:curg offers, included as consumers do, and one thing used of each part.

#include <chrono>

#include "curg/export/frame.h"
#include "curg/export/label_sums.h"
#include "curg/export/pprof.h"
#include "curg/export/quality.h"
#include "curg/export/symbolize.h"
#include "curg/export/text.h"
#include "curg/labels/label_set.h"
#include "curg/labels/labels.h"
#include "curg/profiler/cpu_profile.h"
#include "curg/profiler/cpu_profiler.h"
#include "curg/profiler/pseudo_frames.h"
#include "curg/runtime/deadline.h"
#include "curg/runtime/delayed_task.h"
#include "curg/runtime/go.h"
#include "curg/runtime/join_handle.h"
#include "curg/runtime/options.h"
#include "curg/runtime/runtime.h"
#include "curg/runtime/spawn.h"
#include "curg/runtime/stoppable.h"
#include "curg/runtime/sync/barrier.h"
#include "curg/runtime/sync/channel.h"
#include "curg/runtime/sync/condition_variable.h"
#include "curg/runtime/sync/mutex.h"
#include "curg/runtime/sync/once.h"
#include "curg/runtime/sync/select.h"
#include "curg/runtime/sync/semaphore.h"
#include "curg/runtime/sync/shared_mutex.h"
#include "curg/runtime/sync/ticker.h"
#include "curg/runtime/sync/wait_group.h"
#include "curg/runtime/tag.h"
#include "curg/runtime/task_group.h"
#include "curg/runtime/task_local.h"
#include "curg/runtime/thread_bound.h"
#include "curg/runtime/wait_status.h"
#include "gtest/gtest.h"

namespace {

TEST(PublicHeaders, OneTargetIsEnough) {
  curg::Semaphore permits(1);
  curg::SharedMutex shared;
  curg::Barrier barrier(1);
  curg::ConditionVariable changed;
  curg::Once once;
  const int result = curg::Run([&] {
    const curg::ScopedLabels labels({{"phase", "test"}});
    curg::Channel<int> channel(1);
    curg::WaitGroup group(1);
    curg::Go([&] {
      channel.Send(42);
      group.Done();
    }).Detach();
    group.Wait();
    curg::Ticker ticker(std::chrono::hours(1));
    ticker.Stop();
    EXPECT_TRUE(curg::GoAfter(std::chrono::hours(1), [] {}).Cancel());
    return channel.Receive().value();
  });
  EXPECT_EQ(result, 42);
  EXPECT_EQ(curg::CurrentLabels().size(), 0u);
  EXPECT_FALSE(curg::CpuByLabel(curg::CpuProfile(), {"phase"}).empty());
  EXPECT_TRUE(curg::SumByLabel(curg::CpuProfile(), {"phase"}).empty());
  EXPECT_TRUE(curg::EncodePprof(curg::CpuProfile()).ok());
}

}  // namespace
