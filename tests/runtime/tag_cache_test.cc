// SPDX-License-Identifier: Apache-2.0
#include "runtime/tag_cache.h"

#include <atomic>
#include <cstdio>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

TEST(TagCache, NullIsFine) {
  TagCache cache;
  cache.Ref(nullptr);
  cache.Unref(nullptr);
}

TEST(TagCache, SparesGoWithClear) {
  std::atomic<int> alive{0};
  TagCache cache;
  const Tag* const tag = new CountedTag(alive);
  cache.Ref(tag);
  cache.Unref(tag);
  tag->Unref();         // ours
  EXPECT_EQ(alive, 1);  // spares keep it
  cache.Clear();
  EXPECT_EQ(alive, 0);
}

TEST(TagCache, ReferencesOutliveTheCache) {
  std::atomic<int> alive{0};
  const Tag* const tag = new CountedTag(alive);
  {
    TagCache cache;
    cache.Ref(tag);
  }
  tag->Unref();
  EXPECT_EQ(alive, 1);
  tag->Unref();
  EXPECT_EQ(alive, 0);
}

TEST(TagCache, EndElsewhereThanTheyBegan) {
  std::atomic<int> alive{0};
  TagCache spawner;
  TagCache runner;
  const Tag* const tag = new CountedTag(alive);
  for (int i = 0; i < 1000; ++i) spawner.Ref(tag);
  for (int i = 0; i < 1000; ++i) runner.Unref(tag);
  tag->Unref();
  EXPECT_EQ(alive, 1);
  spawner.Clear();
  runner.Clear();
  EXPECT_EQ(alive, 0);
}

// More tags than the cache has places, so that they push each other out.
TEST(TagCache, CountsAreExact) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  std::atomic<int> alive{0};
  constexpr int kTags = 40;
  std::vector<const Tag*> tags;
  std::vector<int> held(kTags);
  for (int i = 0; i < kTags; ++i) tags.push_back(new CountedTag(alive));
  {
    TagCache caches[2];
    for (int i = 0; i < 100'000; ++i) {
      const size_t which = random() % kTags;
      TagCache& cache = caches[random() % 2];
      if (random() % 2 == 0) {
        cache.Ref(tags[which]);
        ++held[which];
      } else if (held[which] > 0) {
        cache.Unref(tags[which]);
        --held[which];
      }
    }
  }
  EXPECT_EQ(alive, kTags);
  for (int i = 0; i < kTags; ++i) {
    tags[i]->Unref(held[i] + 1);  // what we hold, and no more, is all there is
    EXPECT_EQ(alive, kTags - i - 1);
  }
}

}  // namespace
}  // namespace curg::internal
