// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_slab.h"
#include "runtime/context.h"

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/task.h"

namespace curg::internal {
namespace {

std::set<Task*> AllRecords() {
  std::set<Task*> all;
  TaskSlab::Instance().ForEach([&all](Task& task) { EXPECT_TRUE(all.insert(&task).second); });
  return all;
}

TEST(TaskSlab, TakesWhatIsAsked) {
  Task* const list = TaskSlab::Instance().Take(1000);
  std::set<Task*> taken;
  Task* last = nullptr;
  for (Task* task = list; task != nullptr; task = task->next) {
    EXPECT_TRUE(taken.insert(task).second);
    EXPECT_EQ(task->state.load(), TaskState::kFree);
    last = task;
  }
  EXPECT_EQ(taken.size(), 1000u);
  const std::set<Task*> all = AllRecords();
  for (Task* task : taken) EXPECT_EQ(all.count(task), 1u);
  TaskSlab::Instance().Return(list, last);
}

// Records are used again before new ones are made.
TEST(TaskSlab, RecordsAreUsedAgain) {
  {
    TaskCache cache;
    std::vector<Task*> taken;
    for (int i = 0; i < 500; ++i) taken.push_back(cache.Take());
    for (Task* task : taken) cache.Return(task);
  }
  const size_t made = AllRecords().size();
  for (int round = 0; round < 20; ++round) {
    TaskCache one;
    TaskCache two;
    std::vector<Task*> taken;
    for (int i = 0; i < 300; ++i) taken.push_back(one.Take());
    EXPECT_EQ(std::set<Task*>(taken.begin(), taken.end()).size(), 300u);
    for (Task* task : taken) two.Return(task);  // they end elsewhere
  }
  EXPECT_EQ(AllRecords().size(), made);
}

#ifndef CURG_TSAN
// What was not used between two looks goes back; records look free meanwhile, and work again.
TEST(TaskSlab, TrimGivesMemoryBack) {
  TaskSlab& slab = TaskSlab::Instance();
  while (slab.TrimUnused()) {
  }
  const TaskSlabStats before = slab.stats();
  constexpr size_t kMany = 10'000;
  Task* list = slab.Take(kMany);
  Task* const pinned = list;  // its chunk stays
  list = list->next;
  std::vector<Task*> all;
  for (Task* task = list; task != nullptr; task = task->next) {
    task->id = 77;
    all.push_back(task);
  }
  EXPECT_GE(slab.stats().resident_chunks,
            before.resident_chunks + kMany * sizeof(Task) / (64 << 10) - 1);
  slab.Return(list, all.back());
  EXPECT_TRUE(slab.TrimUnused());  // used since the last look
  EXPECT_GE(slab.stats().resident_chunks, before.resident_chunks + 2);
  EXPECT_FALSE(slab.TrimUnused());
  EXPECT_LE(slab.stats().resident_chunks, before.resident_chunks + 2);
  EXPECT_EQ(pinned->state.load(), TaskState::kFree);
  size_t zeroed = 0;
  for (Task* task : all) {
    EXPECT_EQ(task->state.load(), TaskState::kFree);  // a late look
    zeroed += task->id == 0;
  }
  EXPECT_GT(zeroed, kMany * 9 / 10);
  Task* const again = slab.Take(kMany);
  Task* last = nullptr;
  for (Task* task = again; task != nullptr; task = task->next) {
    EXPECT_TRUE(task->id == 77 || task->id == 0);
    last = task;
  }
  last->next = pinned;
  slab.Return(again, pinned);
}

// Whoever enumerates records while their memory comes and goes sees records.
TEST(TaskSlab, TrimWhileOthersTakeAndLook) {
  TaskSlab& slab = TaskSlab::Instance();
  std::atomic<bool> done{false};
  std::thread looker([&] {
    while (!done) {
      slab.ForEach([](Task& task) { EXPECT_LE(task.state.load(), TaskState::kNew); });
      slab.TrimUnused();
    }
  });
  for (int round = 0; round < 200; ++round) {
    Task* const list = slab.Take(3000);
    Task* last = list;
    for (Task* task = list; task != nullptr; task = task->next) {
      EXPECT_EQ(task->state.exchange(TaskState::kNew), TaskState::kFree);
      last = task;
    }
    for (Task* task = list; task != nullptr; task = task->next) task->state = TaskState::kFree;
    slab.Return(list, last);
  }
  done = true;
  looker.join();
}
#endif

TEST(TaskCache, LastReturnedIsTakenFirst) {
  TaskCache cache;
  Task* const one = cache.Take();
  Task* const two = cache.Take();
  cache.Return(one);
  cache.Return(two);
  EXPECT_EQ(cache.Take(), two);
  EXPECT_EQ(cache.Take(), one);
  cache.Return(one);
  cache.Return(two);
}

}  // namespace
}  // namespace curg::internal
