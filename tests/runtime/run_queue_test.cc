// SPDX-License-Identifier: Apache-2.0
#include "runtime/run_queue.h"

#include <array>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

struct Item {
  int number = 0;
};

template <uint32_t kCapacity>
class RunQueueOf : public testing::Test {
 protected:
  using Queue = RunQueue<Item, kCapacity>;

  RunQueueOf() {
    for (int i = 0; i < static_cast<int>(items.size()); ++i) items[i].number = i;
  }

  void Push(Queue& queue, int first, int last) {
    for (int i = first; i <= last; ++i) ASSERT_TRUE(queue.Push(&items[i])) << i;
  }

  static std::vector<int> Drain(Queue& queue) {
    std::vector<int> numbers;
    while (Item* item = queue.Pop()) numbers.push_back(item->number);
    return numbers;
  }

  std::array<Item, 1100> items;
  Queue queue;
};

using Numbers = std::vector<int>;
using SmallRunQueue = RunQueueOf<4>;
using RealRunQueue = RunQueueOf<1024>;

TEST_F(SmallRunQueue, FirstInFirstOut) {
  EXPECT_EQ(queue.Pop(), nullptr);
  Push(queue, 1, 3);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.Pop(), &items[1]);
  Push(queue, 4, 5);
  EXPECT_EQ(Drain(queue), (Numbers{2, 3, 4, 5}));
  EXPECT_EQ(queue.size(), 0u);
}

TEST_F(SmallRunQueue, FullRefuses) {
  Push(queue, 1, 4);
  EXPECT_FALSE(queue.Push(&items[5]));
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_EQ(queue.Pop(), &items[1]);
  EXPECT_TRUE(queue.Push(&items[5]));
  EXPECT_EQ(Drain(queue), (Numbers{2, 3, 4, 5}));
}

TEST_F(SmallRunQueue, PopPartTakesTheOldest) {
  Push(queue, 1, 4);
  std::array<Item*, 2> half;
  EXPECT_EQ(queue.PopPart(half), 2u);
  EXPECT_EQ(half, (std::array<Item*, 2>{&items[1], &items[2]}));
  EXPECT_EQ(Drain(queue), (Numbers{3, 4}));
  Push(queue, 5, 5);
  EXPECT_EQ(queue.PopPart(half), 0u);  // fewer are left: thieves were there
  EXPECT_EQ(Drain(queue), (Numbers{5}));
}

TEST_F(SmallRunQueue, IndicesGoRoundTheRing) {
  for (int i = 0; i < 100; ++i) {
    Push(queue, i, i + 2);
    EXPECT_EQ(Drain(queue), (Numbers{i, i + 1, i + 2}));
  }
}

// What a thief of `count` gets to run, what it queues, and what it leaves.
TEST_F(SmallRunQueue, StealsTheOlderHalfRoundedUp) {
  struct Case {
    int count;
    int run;
    Numbers queued;
    Numbers left;
  };
  for (const Case& c :
       {Case{1, 1, {}, {}}, Case{2, 1, {}, {2}}, Case{3, 2, {1}, {3}}, Case{4, 2, {1}, {3, 4}}}) {
    Queue victim;
    Queue thief;
    Push(victim, 1, c.count);
    Item* const run = thief.StealFrom(victim);
    ASSERT_NE(run, nullptr);
    EXPECT_EQ(run->number, c.run);
    EXPECT_EQ(Drain(thief), c.queued);
    EXPECT_EQ(Drain(victim), c.left);
  }
}

TEST_F(SmallRunQueue, StealsNothingFromEmpty) {
  Queue victim;
  EXPECT_EQ(queue.StealFrom(victim), nullptr);
}

TEST_F(RealRunQueue, StealsAPartOfAFullRing) {
  Push(queue, 0, 1023);
  EXPECT_FALSE(queue.Push(&items[1024]));
  Queue thief;
  Item* const run = thief.StealFrom(queue);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->number, 127);
  EXPECT_EQ(thief.size(), 127u);
  EXPECT_EQ(queue.size(), 896u);
  for (int i = 0; i < 127; ++i) EXPECT_EQ(thief.Pop(), &items[i]);
  for (int i = 128; i < 1024; ++i) EXPECT_EQ(queue.Pop(), &items[i]);
}

}  // namespace
}  // namespace curg::internal
