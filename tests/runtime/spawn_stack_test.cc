// SPDX-License-Identifier: Apache-2.0
#include "runtime/spawn_stack.h"

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

uint32_t OwnSpawnStack() { return CurrentTask()->spawn_stack; }

std::vector<uint32_t> ChainOf(uint32_t number) {
  std::vector<uint32_t> chain;
  for (; number != 0; number = SpawnerOf(number)) chain.push_back(number);
  return chain;
}

__attribute__((noinline)) std::vector<uint32_t> Nested(int depth) {
  if (depth == 0) return ChainOf(OwnSpawnStack());
  return Go([depth] { return Nested(depth - 1); }).Join();
}

TEST(SpawnStack, LeadsOnToTheSpawners) {
  curg::Run([] {
    EXPECT_TRUE(Nested(1).empty());  // nobody asked for it
    SpawnStackHold hold;
    std::vector<uint32_t> one;
    for (int i = 0; i < 2; ++i) {
      const std::vector<uint32_t> before = std::exchange(one, Nested(1));
      EXPECT_TRUE(i == 0 || one == before);  // equal ones are one
    }
    ASSERT_EQ(one.size(), 2u);  // where it was spawned; and of its spawner, born before, the site
                                // alone
    EXPECT_GT(SpawnStackOf(one[0]).size(), 1u);
    ASSERT_EQ(SpawnStackOf(one[1]).size(), 1u);
    EXPECT_EQ(SpawnStackOf(one[1])[0], CurrentTask()->spawn_pc);
    EXPECT_EQ(Nested(2).size(), 3u);
  });
}

// As for a server whose task spawns its successor: the chain is cut, and what is left is always the
// same.
TEST(SpawnStack, ChainsAreBounded) {
  curg::Run([] {
    SpawnStackHold hold;
    std::set<std::vector<uint32_t>> chains;
    for (int depth = 6; depth < 40; ++depth) {
      const std::vector<uint32_t> chain = Nested(depth);
      EXPECT_EQ(chain.size(), kSpawnChainMax);
      chains.insert(chain);
    }
    EXPECT_EQ(chains.size(), 1u);
  });
  EXPECT_EQ(SpawnStacksRefused(), 0u);
}

TEST(SpawnStack, IsKeptForAsLongAsAnybodyWants) {
  EXPECT_FALSE(SpawnStacksKept());
  KeepSpawnStacks(true);
  {
    SpawnStackHold hold;
    KeepSpawnStacks(false);
    SpawnStackHold another;
    EXPECT_TRUE(SpawnStacksKept());
  }
  EXPECT_FALSE(SpawnStacksKept());
  { SpawnStackHold hold; }
  EXPECT_FALSE(SpawnStacksKept());
  curg::Run([] { EXPECT_EQ(Go([] { return OwnSpawnStack(); }).Join(), 0u); });
}

}  // namespace
}  // namespace curg::internal
