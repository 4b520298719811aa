// SPDX-License-Identifier: Apache-2.0
#include "runtime/global_queue.h"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

struct Item {
  Item* next = nullptr;
  int number = 0;
  std::atomic<int> taken{0};
};

class GlobalQueueTest : public testing::Test {
 protected:
  GlobalQueueTest() {
    for (int i = 0; i < 100; ++i) items[i].number = i;
  }

  std::vector<int> Take(size_t count) {
    std::vector<int> numbers;
    for (Item* item = queue.PopBatch(count); item != nullptr; item = item->next) {
      numbers.push_back(item->number);
    }
    return numbers;
  }

  std::array<Item, 100> items;
  GlobalQueue<Item> queue;
};

using Numbers = std::vector<int>;

TEST_F(GlobalQueueTest, FirstInFirstOut) {
  EXPECT_EQ(queue.PopBatch(1), nullptr);
  for (int i = 0; i < 5; ++i) queue.Push(&items[i]);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(Take(2), (Numbers{0, 1}));
  queue.Push(&items[5]);
  EXPECT_EQ(Take(100), (Numbers{2, 3, 4, 5}));
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.PopBatch(3), nullptr);
}

TEST_F(GlobalQueueTest, ListsKeepTheirOrder) {
  queue.Push(&items[0]);
  items[1].next = &items[2];
  items[2].next = &items[3];
  queue.PushList(&items[1], &items[3], 3);
  queue.Push(&items[4]);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(Take(5), (Numbers{0, 1, 2, 3, 4}));
  queue.Push(&items[7]);
  EXPECT_EQ(Take(1), (Numbers{7}));
}

TEST_F(GlobalQueueTest, NoneTakesNone) {
  queue.Push(&items[0]);
  EXPECT_EQ(Take(1), (Numbers{0}));
  EXPECT_EQ(Take(1), (Numbers{}));
}

TEST_F(GlobalQueueTest, ManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  std::vector<Item> many(kThreads * kEach);
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) queue.Push(&many[t * kEach + i]);
    });
    threads.emplace_back([&, t] {
      while (taken < kThreads * kEach) {
        for (Item* item = queue.PopBatch(static_cast<size_t>(t + 1)); item != nullptr;) {
          Item* const next = item->next;
          ++item->taken;
          ++taken;
          item = next;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Item& item : many) ASSERT_EQ(item.taken, 1);
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace curg::internal
