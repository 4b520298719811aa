// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_index.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

std::shared_ptr<const ModuleTable> Table(uintptr_t begin, uintptr_t end) {
  return ModuleTable::FromRules({{begin, FrameAtRsp(8)}}, end);
}

std::unique_ptr<const UnwindIndex> Index(std::vector<std::shared_ptr<const ModuleTable>> tables) {
  return std::make_unique<UnwindIndex>(std::move(tables));
}

TEST(UnwindIndex, FindsTheTableOfAnAddress) {
  const auto first = Table(0x1000, 0x2000);
  const auto second = Table(0x3000, 0x4000);
  const auto third = Table(0x4000, 0x5000);
  const UnwindIndex index({third, first, second});
  EXPECT_EQ(index.Find(0xfff), nullptr);
  EXPECT_EQ(index.Find(0x1000), first.get());
  EXPECT_EQ(index.Find(0x1fff), first.get());
  EXPECT_EQ(index.Find(0x2000), nullptr);
  EXPECT_EQ(index.Find(0x3fff), second.get());
  EXPECT_EQ(index.Find(0x4000), third.get());
  EXPECT_EQ(index.Find(0x5000), nullptr);
  EXPECT_EQ(UnwindIndex({}).Find(0x1000), nullptr);
}

TEST(UnwindIndex, AReplacedIndexIsFreedAtOnceWhenNobodyWalks) {
  UnwindIndexPublisher publisher;
  std::weak_ptr<const ModuleTable> table;
  {
    auto kept = Table(0x1000, 0x2000);
    table = kept;
    publisher.Publish(Index({std::move(kept)}));
  }
  EXPECT_FALSE(table.expired());
  EXPECT_EQ(publisher.retired_count(), 0u);
  publisher.Publish(Index({}));
  EXPECT_TRUE(table.expired());
  EXPECT_EQ(publisher.retired_count(), 0u);
  publisher.Publish(nullptr);
}

TEST(UnwindIndex, AReplacedIndexLivesAsLongAsAWalkThatMayHaveSeenIt) {
  UnwindIndexPublisher publisher;
  std::weak_ptr<const ModuleTable> table;
  {
    auto kept = Table(0x1000, 0x2000);
    table = kept;
    publisher.Publish(Index({std::move(kept)}));
  }
  std::optional<UnwindReader> early(std::in_place, publisher);
  publisher.Publish(Index({}));
  EXPECT_FALSE(table.expired());
  EXPECT_EQ(publisher.retired_count(), 1u);
  early.reset();
  EXPECT_FALSE(table.expired()) << "freed by Publish or Collect only";
  publisher.Collect();
  EXPECT_TRUE(table.expired());
  EXPECT_EQ(publisher.retired_count(), 0u);
  publisher.Publish(nullptr);
}

TEST(UnwindIndex, TablesOfNothingLoadedAreNotTrusted) {
  UnwindIndexPublisher publisher;
  publisher.Publish(Index({Table(0x1000, 0x2000)}));
  {
    UnwindReader reader(publisher);
    EXPECT_EQ(reader.Find(0x1000).word.kind(), UnwindWord::Kind::kNone);
    // Nor is one that claims the place of what is loaded: its .eh_frame is read instead.
    EXPECT_NE(reader.Find(reinterpret_cast<uintptr_t>(&Table)).word.kind(),
              UnwindWord::Kind::kNone);
  }
  const auto here = reinterpret_cast<uintptr_t>(&Table);
  std::vector<ModuleTable::PlacedRule> wrong = {{here - 64, FrameAtRsp(123 * 8)}};
  publisher.Publish(Index({ModuleTable::FromRules(wrong, here + 64)}));
  {
    UnwindReader reader(publisher);
    EXPECT_NE(reader.Find(here).word.cfa_offset(), 123u * 8);
  }
  publisher.Publish(nullptr);
}

// Walks on several threads, each looking its tables up again and again, while they are replaced.
TEST(UnwindIndexStress, WalksNeverSeeAFreedTable) {
  constexpr int kThreads = 3;
  constexpr int kRounds = 3000;
  UnwindIndexPublisher publisher;
  publisher.Publish(Index({Table(0x1000, 0x2000)}));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> walks{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        UnwindReader reader(publisher);
        EXPECT_EQ(reader.Find(0x1234).word.kind(), UnwindWord::Kind::kNone);
        walks.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) publisher.Publish(Index({Table(0x1000, 0x2000)}));
  while (walks.load(std::memory_order_relaxed) < kThreads) std::this_thread::yield();
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  publisher.Publish(nullptr);
  EXPECT_EQ(publisher.retired_count(), 0u);
}

}  // namespace
}  // namespace curg::internal
