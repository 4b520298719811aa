// SPDX-License-Identifier: Apache-2.0
#include "runtime/global_queue.h"

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <span>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

bool g_no_memory = false;

template <typename T>
struct TestAllocator : std::allocator<T> {
  T* allocate(size_t n) {
    return g_no_memory ? throw std::bad_alloc() : std::allocator<T>::allocate(n);
  }
};

struct Item {
  Item* next = nullptr;
  int number = 0;
  std::atomic<int> taken{0};
};

using Numbers = std::vector<int>;

class GlobalQueueTest : public testing::Test {
 protected:
  GlobalQueueTest() {
    for (int i = 0; i < 10'000; ++i) items[i].number = i;
  }

  std::vector<int> Take(size_t count) {
    std::vector<Item*> taken(count);
    taken.resize(queue.PopBatch(taken));
    std::vector<int> numbers;
    for (const Item* item : taken) numbers.push_back(item->number);
    return numbers;
  }

  std::array<Item, 10'000> items;
  GlobalQueue<Item, TestAllocator> queue;
};

TEST_F(GlobalQueueTest, FirstInFirstOut) {
  EXPECT_EQ(Take(1), Numbers{});
  for (int i = 0; i < 5; ++i) queue.Push(&items[i]);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(Take(2), (Numbers{0, 1}));
  queue.Push(&items[5]);
  EXPECT_EQ(Take(100), (Numbers{2, 3, 4, 5}));
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(Take(3), Numbers{});
}

TEST_F(GlobalQueueTest, ManyAtOnceKeepTheirOrder) {
  queue.Push(&items[0]);
  queue.PushAll(std::array{&items[1], &items[2], &items[3]});
  queue.Push(&items[4]);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(Take(5), (Numbers{0, 1, 2, 3, 4}));
  queue.Push(&items[7]);
  EXPECT_EQ(Take(1), (Numbers{7}));
}

TEST_F(GlobalQueueTest, GrowsAndShrinks) {
  for (int i = 0; i < 10'000; ++i) queue.Push(&items[i]);
  for (int i = 0; i < 9'000; i += 9) {
    ASSERT_EQ(Take(9), (Numbers{i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7, i + 8}));
  }
  for (int i = 0; i < 5'000; ++i) queue.Push(&items[i]);
  for (int i = 9'000; i < 10'000; ++i) ASSERT_EQ(Take(1), Numbers{i});
  for (int i = 0; i < 5'000; i += 2) ASSERT_EQ(Take(2), (Numbers{i, i + 1}));
  EXPECT_EQ(Take(1), Numbers{});
}

TEST_F(GlobalQueueTest, KeepsItsOrderWhenMemoryIsShort) {
  queue.Push(&items[0]);
  g_no_memory = true;
  for (int i = 1; i < 6000; ++i) queue.Push(&items[i]);
  g_no_memory = false;
  for (int i = 6000; i < 7000; ++i) queue.Push(&items[i]);
  EXPECT_EQ(queue.size(), 7000u);
  for (int i = 0; i < 6900; i += 3) ASSERT_EQ(Take(3), (Numbers{i, i + 1, i + 2}));
  for (int i = 6900; i < 7000; i += 2) ASSERT_EQ(Take(2), (Numbers{i, i + 1}));
  for (int i = 7000; i < 10'000; ++i) queue.Push(&items[i]);  // with memory for them again
  for (int i = 7000; i < 10'000; i += 2) ASSERT_EQ(Take(2), (Numbers{i, i + 1}));
  EXPECT_EQ(Take(1), Numbers{});
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
        std::array<Item*, kThreads> batch;
        const size_t count = queue.PopBatch(std::span(batch).first(static_cast<size_t>(t + 1)));
        for (Item* item : std::span(batch).first(count)) ++item->taken;
        taken += static_cast<int>(count);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Item& item : many) ASSERT_EQ(item.taken, 1);
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace curg::internal
