// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_slab.h"

#include <set>
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
