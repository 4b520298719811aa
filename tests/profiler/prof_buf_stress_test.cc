// SPDX-License-Identifier: Apache-2.0
//
// The ring's two sides on two threads, as fast as they can. Meant for the thread sanitizer, which
// sees missing orderings that prof_buf_model_test.cc cannot.
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/prof_buf.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

constexpr size_t kDepth = 16;
constexpr int64_t kOffered = 300'000;

struct Sums {
  int64_t samples = 0;
  int64_t periods = 0;
  int64_t lost = 0;
};

Sums ReadAll(ProfBuf& buf, const std::atomic<bool>& written) {
  Sums sums;
  for (;;) {
    const bool last = written.load();
    ProfHeader header;
    std::span<const uintptr_t> pcs;
    while (buf.Read(header, pcs)) {
      sums.periods += header.periods;
      if (header.kind == SampleKind::kLost) {
        sums.lost += header.samples;
      } else {
        // In order: its number is how many came before it, in whatever way.
        EXPECT_EQ(header.time, static_cast<uint64_t>(sums.samples + sums.lost));
        for (const uintptr_t pc : pcs) EXPECT_EQ(pc, header.time);
        ++sums.samples;
        header.tag->Unref();
      }
      if (testing::Test::HasFailure()) return sums;
    }
    if (last) return sums;
    std::this_thread::yield();
  }
}

TEST(ProfBufStress, NothingIsLostUntold) {
  std::atomic<int> alive{0};
  std::vector<uint64_t> words(256);
  ProfBuf buf(words, kDepth);
  std::atomic<bool> written{false};
  int64_t periods = 0;

  std::thread handler([&] {
    const TagRef tag = TagRef::Adopt(new CountedTag(alive));
    for (int64_t i = 0; i < kOffered; ++i) {
      const auto number = static_cast<uint64_t>(i);
      periods += 1 + i % 5;
      const std::span<uintptr_t> pcs = buf.BeginWrite();
      if (pcs.empty()) {
        buf.Lose(number, 1 + i % 5);
        if (i % 64 == 0) std::this_thread::yield();
        continue;
      }
      const size_t depth = number % (kDepth + 1);
      for (size_t n = 0; n < depth; ++n) pcs[n] = number;
      tag.get()->Ref();
      buf.CommitWrite({.time = number, .periods = 1 + i % 5, .tag = tag.get()}, depth);
    }
    written.store(true);
  });
  const Sums sums = ReadAll(buf, written);
  handler.join();

  EXPECT_EQ(sums.samples + sums.lost, kOffered);
  EXPECT_EQ(sums.periods, periods);
  EXPECT_GT(sums.samples, 0);
  EXPECT_EQ(alive.load(), 0);
}

}  // namespace
}  // namespace curg::internal
