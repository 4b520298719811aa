// SPDX-License-Identifier: Apache-2.0
//
// What the fences of a batch are for. Its algorithm has run_batch_model_test.cc.
#include "runtime/run_batch.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <span>
#include <thread>
#include <vector>

namespace curg::internal {
namespace {

struct Item {
  std::atomic<int> taken{0};
  int value = 0;  // plain: written by the owner before it is put in, read by whoever takes it
};

using Batch = RunBatch<Item>;

TEST(RunBatch, FirstInFirstOut) {
  std::array<Item, 3> items;
  const std::array<Item*, 3> tasks = {&items[0], &items[1], &items[2]};
  Batch batch;
  EXPECT_TRUE(batch.Empty());
  EXPECT_EQ(batch.Pop(), nullptr);
  batch.Fill(tasks);
  EXPECT_EQ(batch.Size(), 3u);
  for (Item* task : tasks) EXPECT_EQ(batch.Pop(), task);
  EXPECT_TRUE(batch.Empty());
}

TEST(RunBatch, RunNextIsBesideTheOthers) {
  std::array<Item, 3> items;
  Batch batch;
  EXPECT_EQ(batch.next(), nullptr);
  EXPECT_EQ(batch.ExchangeNext(&items[0]), nullptr);
  EXPECT_EQ(batch.ExchangeNext(&items[1]), &items[0]);
  EXPECT_EQ(batch.next(), &items[1]);
  EXPECT_TRUE(batch.Empty());
  EXPECT_EQ(batch.Pop(), nullptr);
  batch.Fill(std::array{&items[2]});
  EXPECT_EQ(batch.Pop(), &items[2]);
  EXPECT_EQ(batch.ExchangeNext(nullptr), &items[1]);
  EXPECT_EQ(batch.next(), nullptr);
}

TEST(RunBatch, AThiefTakesWhatIsLeft) {
  ASSERT_TRUE(RegisterAsymmetricFence());
  std::array<Item, 4> items;
  const std::array<Item*, 3> tasks = {&items[0], &items[1], &items[2]};
  Batch batch;
  batch.Fill(tasks);
  batch.Pop();
  batch.ExchangeNext(&items[3]);
  std::array<Item*, Batch::kMost> stolen;
  ASSERT_EQ(batch.Steal(stolen), 3u);
  EXPECT_EQ(stolen[0], &items[3]);
  EXPECT_EQ(stolen[1], tasks[1]);
  EXPECT_EQ(stolen[2], tasks[2]);
  EXPECT_EQ(batch.Pop(), nullptr);
  EXPECT_EQ(batch.ExchangeNext(nullptr), nullptr);
}

// Each item is taken once, by the owner or by a thief.
TEST(RunBatch, OwnerAgainstThieves) {
  ASSERT_TRUE(RegisterAsymmetricFence());
  constexpr int kThieves = 2;
  constexpr auto kDuration = std::chrono::seconds(1);
  Batch batch;
  std::array<Item, 64> items;
  std::atomic<bool> over{false};
  std::atomic<uint64_t> stolen_total{0};
  const auto take = [](Item& item) {
    EXPECT_EQ(item.value, 1);
    item.value = 0;
    EXPECT_EQ(item.taken.fetch_add(1, std::memory_order_release), 0);
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThieves; ++t) {
    threads.emplace_back([&] {
      std::array<Item*, Batch::kMost> stolen;
      while (!over) {
        if (batch.Empty() && batch.next() == nullptr) {
          std::this_thread::yield();
          continue;
        }
        const size_t count = batch.Steal(stolen);
        for (size_t j = 0; j < count; ++j) take(*stolen[j]);
        stolen_total += count;
      }
    });
  }
  uint64_t filled_total = 0;
  uint64_t popped_total = 0;
  // On a busy machine it may take longer until thieves find anything.
  const auto until = std::chrono::steady_clock::now() + kDuration;
  for (size_t at = 0; std::chrono::steady_clock::now() < until || stolen_total == 0;
       at = (at + 2 * Batch::kSize) % items.size()) {
    std::array<Item*, Batch::kMost> tasks;
    for (size_t i = 0; i < tasks.size(); ++i) {
      tasks[i] = &items[at + i];
      tasks[i]->value = 1;
      tasks[i]->taken.store(0, std::memory_order_relaxed);
    }
    batch.Fill(std::span(tasks).first<Batch::kSize>());
    EXPECT_EQ(batch.ExchangeNext(tasks.back()), nullptr);
    filled_total += tasks.size();
    if (at == 0) std::this_thread::yield();
    while (Item* task = batch.Pop()) {
      take(*task);
      ++popped_total;
    }
    if (Item* task = batch.ExchangeNext(nullptr)) {
      take(*task);
      ++popped_total;
    }
    // What thieves took they are done with before it is used again.
    for (Item* task : tasks) {
      while (task->taken.load(std::memory_order_acquire) == 0) std::this_thread::yield();
    }
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(popped_total + stolen_total, filled_total);
  EXPECT_GT(popped_total, 0u);
}

}  // namespace
}  // namespace curg::internal
