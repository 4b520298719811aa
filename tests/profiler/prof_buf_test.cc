// SPDX-License-Identifier: Apache-2.0
//
// The cases are those of Go's TestProfBuf, one by one. Two of them are about blocking; this ring
// has no blocking read (the writer task sleeps instead), so they are tested where the waiting is,
// in prof_writer_test.cc, under the same names: ReadAtEndAfterOverflow's closing part and
// BlockingWriteRead.
#include "profiler/prof_buf.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using Pcs = std::vector<uintptr_t>;

// Tags are only carried around here, never followed.
const Tag* FakeTag(uintptr_t n) { return reinterpret_cast<const Tag*>(n); }

// A ring of 64 words with records of at most 7 program counters: one is 6 + depth words long, and a
// write secures 13 words (19 when losses are to be told as well).
class ProfBufTest : public testing::Test {
 protected:
  static constexpr size_t kDepth = 7;

  bool Write(uint64_t time, uintptr_t tag, const Pcs& pcs) {
    const std::span<uintptr_t> room = buf_.BeginWrite();
    if (room.empty()) {
      buf_.Lose(time, /*periods=*/1);
      return false;
    }
    EXPECT_EQ(room.size(), kDepth);
    std::copy(pcs.begin(), pcs.end(), room.begin());
    buf_.CommitWrite({.kind = SampleKind::kTask,
                      .shape = StackShape::kWhole,
                      .time = time,
                      .samples = 1,
                      .periods = 1,
                      .tag = FakeTag(tag),
                      .task_id = 100 + time,
                      .spawn = 200 + time},
                     pcs.size());
    return true;
  }

  void ExpectRead(uint64_t time, uintptr_t tag, const Pcs& pcs) {
    ProfHeader header;
    std::span<const uintptr_t> read;
    ASSERT_TRUE(buf_.Read(header, read)) << "time " << time;
    EXPECT_EQ(header.kind, SampleKind::kTask);
    EXPECT_EQ(header.shape, StackShape::kWhole);
    EXPECT_EQ(header.time, time);
    EXPECT_EQ(header.samples, 1);
    EXPECT_EQ(header.periods, 1);
    EXPECT_EQ(header.tag, FakeTag(tag));
    EXPECT_EQ(header.task_id, 100 + time);
    EXPECT_EQ(header.spawn, 200 + time);
    EXPECT_EQ(Pcs(read.begin(), read.end()), pcs);
  }

  // A loss record holds nothing but when, how many and how much.
  void ExpectLoss(uint64_t time, int64_t samples, int64_t periods) {
    ProfHeader header;
    std::span<const uintptr_t> read;
    ASSERT_TRUE(buf_.Read(header, read));
    EXPECT_EQ(header.kind, SampleKind::kLost);
    EXPECT_EQ(header.time, time);
    EXPECT_EQ(header.samples, samples);
    EXPECT_EQ(header.periods, periods);
    EXPECT_EQ(header.tag, nullptr);
    EXPECT_TRUE(read.empty());
  }

  void ExpectNothing() {
    ProfHeader header;
    std::span<const uintptr_t> read;
    EXPECT_FALSE(buf_.Read(header, read));
    EXPECT_TRUE(read.empty());
  }

  // Writes records 1, 2, 3, ... of full depth until one finds no room; returns its time.
  uint64_t Fill() {
    for (uint64_t time = 1;; ++time) {
      if (!Write(time, time, {time, 2, 3, 4, 5, 6, 7})) return time;
    }
  }

  std::array<uint64_t, 64> words_ = {};
  ProfBuf buf_{words_, kDepth};
};

TEST_F(ProfBufTest, BasicWriteRead) {
  ASSERT_TRUE(Write(1, 51, {10, 11, 12}));
  ExpectRead(1, 51, {10, 11, 12});
  ExpectNothing();
  for (uint64_t time = 2; time < 12; ++time) {
    ASSERT_TRUE(Write(time, 52, {20 + time, 21}));
    ExpectRead(time, 52, {20 + time, 21});
    ExpectNothing();
  }
}

TEST_F(ProfBufTest, ReadMany) {
  ASSERT_TRUE(Write(1, 51, {10, 11}));
  ASSERT_TRUE(Write(2, 0, {20, 21, 22}));
  ASSERT_TRUE(Write(3, 53, {30}));
  ExpectRead(1, 51, {10, 11});
  ExpectRead(2, 0, {20, 21, 22});
  ExpectRead(3, 53, {30});
  ExpectNothing();
}

// Records that end at the ring's end, and more at its start: the reader crosses over.
TEST_F(ProfBufTest, ReadManyShortData) {
  ASSERT_TRUE(Write(1, 1, {1, 2, 3, 4, 5, 6, 7}));  // uses 13
  ASSERT_TRUE(Write(2, 2, {1, 2, 3, 4, 5, 6, 7}));  // uses 26
  ASSERT_TRUE(Write(3, 3, {1, 2, 3, 4, 5, 6, 7}));  // uses 39
  ExpectRead(1, 1, {1, 2, 3, 4, 5, 6, 7});
  ExpectRead(2, 2, {1, 2, 3, 4, 5, 6, 7});
  ExpectRead(3, 3, {1, 2, 3, 4, 5, 6, 7});
  ExpectNothing();
  ASSERT_TRUE(Write(4, 4, {41}));  // uses 46, and 18 are left to the end
  ASSERT_TRUE(Write(5, 5, {51}));  // uses 53; 11 left, too few for a write
  ASSERT_TRUE(Write(6, 6, {61}));  // skips to the start
  ExpectRead(4, 4, {41});
  ExpectRead(5, 5, {51});
  EXPECT_EQ(words_[53], 0u);  // "continue at the start"
  ExpectRead(6, 6, {61});
  ExpectNothing();
}

// Tags travel inside the records here, so they cannot run short before the data does; what remains
// of Go's case is that short records (many tags) fill a ring as they should, each with its own tag.
TEST_F(ProfBufTest, ReadManyShortTags) {
  uint64_t time = 1;
  while (Write(time, 1000 + time, {})) ++time;
  // 6 words each; the ninth ends at 54 and the write that follows needs 13 up to the end.
  EXPECT_EQ(time, 10u);
  for (uint64_t read = 1; read < time; ++read) ExpectRead(read, 1000 + read, {});
  ExpectLoss(10, 1, 1);
  ExpectNothing();
}

// Losses before a later write: told first, with the time of the first one.
TEST_F(ProfBufTest, ReadAfterOverflow1) {
  const uint64_t lost = Fill();
  EXPECT_EQ(lost, 5u);  // 4 * 13 = 52, and 12 are left
  EXPECT_FALSE(Write(6, 6, {1}));
  EXPECT_FALSE(Write(7, 7, {1}));
  for (uint64_t time = 1; time < lost; ++time) ExpectRead(time, time, {time, 2, 3, 4, 5, 6, 7});
  // Room comes back only with the next Read, which returns what the last one handed out.
  ExpectLoss(5, 3, 3);
  ASSERT_TRUE(Write(8, 8, {80}));
  ExpectRead(8, 8, {80});
  ExpectNothing();
}

// As above, but the handler writes again before the reader has come to the losses, so that the loss
// record is in the ring.
TEST_F(ProfBufTest, LossRecordPrecedesTheWriteThatFollows) {
  const uint64_t lost = Fill();
  EXPECT_FALSE(Write(6, 6, {1}));
  ExpectRead(1, 1, {1, 2, 3, 4, 5, 6, 7});
  ExpectRead(2, 2, {2, 2, 3, 4, 5, 6, 7});
  ExpectRead(3, 3, {3, 2, 3, 4, 5, 6, 7});  // returns 1 and 2: 26 words
  ASSERT_TRUE(Write(8, 8, {80}));
  ExpectRead(4, 4, {4, 2, 3, 4, 5, 6, 7});
  ExpectLoss(lost, 2, 2);
  ExpectRead(8, 8, {80});
  ExpectNothing();
}

// No later write: the reader makes the record from the totals.
TEST_F(ProfBufTest, ReadAfterOverflow2) {
  const uint64_t lost = Fill();
  for (uint64_t time = 1; time < lost; ++time) ExpectRead(time, time, {time, 2, 3, 4, 5, 6, 7});
  ExpectLoss(lost, 1, 1);
  ExpectNothing();
  // The handler does not know that it was told; what it writes about it is skipped.
  ASSERT_TRUE(Write(20, 20, {200}));
  ExpectRead(20, 20, {200});
  ExpectNothing();
}

// At the end, too, nothing that was lost goes untold.
TEST_F(ProfBufTest, ReadAtEndAfterOverflow) {
  const uint64_t lost = Fill();
  buf_.Lose(lost + 1, /*periods=*/7);
  for (uint64_t time = 1; time < lost; ++time) ExpectRead(time, time, {time, 2, 3, 4, 5, 6, 7});
  ExpectLoss(lost, 2, 8);
  ExpectNothing();
  ExpectNothing();
}

// An empty ring begins anew, so one record is always left in it.
TEST_F(ProfBufTest, DataWraparound) {
  ASSERT_TRUE(Write(1, 5, {1, 2, 3, 4}));
  for (uint64_t i = 2; i <= 100; ++i) {
    ASSERT_TRUE(Write(i, 5, {i, i + 1, i + 2, i + 3}));
    ExpectRead(i - 1, 5, {i - 1, i, i + 1, i + 2});
  }
}

TEST_F(ProfBufTest, TagWraparound) {
  ASSERT_TRUE(Write(1, 1001, {}));
  for (uint64_t i = 2; i <= 100; ++i) {
    ASSERT_TRUE(Write(i, 1000 + i, {}));
    ExpectRead(i - 1, 1000 + i - 1, {});
  }
}

// Records of every length, with one always left in the ring.
TEST_F(ProfBufTest, BothWraparound) {
  ASSERT_TRUE(Write(1, 1001, {}));
  for (uint64_t i = 2; i <= 200; ++i) {
    ASSERT_TRUE(Write(i, 1000 + i, Pcs(i % (kDepth + 1), i)));
    ExpectRead(i - 1, 1000 + i - 1, i == 2 ? Pcs{} : Pcs((i - 1) % (kDepth + 1), i - 1));
  }
}

// A reader that keeps up meets the same few words again and again.
TEST_F(ProfBufTest, AnEmptyRingBeginsAnew) {
  for (uint64_t i = 1; i <= 100; ++i) {
    ASSERT_TRUE(Write(i, 5, {i, i + 1}));
    ASSERT_TRUE(Write(i + 1, 5, {i}));
    ExpectRead(i, 5, {i, i + 1});
    ExpectRead(i + 1, 5, {i});
    ExpectNothing();
  }
  for (size_t word = 8 + 7; word < words_.size(); ++word) EXPECT_EQ(words_[word], 0u) << word;
}

TEST_F(ProfBufTest, WordsAreHeldUntilTheyAreReturned) {
  const uint64_t lost = Fill();
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  for (uint64_t time = 1; time < lost; ++time) {
    ASSERT_TRUE(buf_.ReadOn(header, pcs));
    EXPECT_EQ(header.time, time);
  }
  EXPECT_EQ(buf_.reach(), 13 * (lost - 1));
  EXPECT_EQ(buf_.Held()[0].data(), words_.data());
  EXPECT_EQ(buf_.Held()[0].size(), 13 * (lost - 1));
  EXPECT_TRUE(buf_.Held()[1].empty());
  EXPECT_FALSE(Write(lost + 1, 1, {}));  // no room yet
  buf_.Return();
  EXPECT_EQ(buf_.reach(), 0u);
  EXPECT_TRUE(buf_.Held()[0].empty());
  EXPECT_TRUE(Write(lost + 2, 1, {}));
}

TEST_F(ProfBufTest, OverrunsAreLostWithTheirPeriods) {
  while (Write(1, 1, {1, 2, 3, 4, 5, 6, 7})) {
  }
  buf_.Lose(2, /*periods=*/250);
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  while (buf_.Read(header, pcs) && header.kind != SampleKind::kLost) {
  }
  EXPECT_EQ(header.samples, 2);
  EXPECT_EQ(header.periods, 251);
}

TEST_F(ProfBufTest, KeepsKindShapeAndPeriods) {
  ASSERT_FALSE(buf_.BeginWrite().empty());
  buf_.CommitWrite({.kind = SampleKind::kForeign,
                    .shape = StackShape::kLeafOnly,
                    .time = UINT64_MAX,
                    .samples = 1,
                    .periods = INT64_MAX,
                    .tag = nullptr,
                    .task_id = UINT64_MAX,
                    .spawn = UINTPTR_MAX},
                   0);
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  ASSERT_TRUE(buf_.Read(header, pcs));
  EXPECT_EQ(header.kind, SampleKind::kForeign);
  EXPECT_EQ(header.shape, StackShape::kLeafOnly);
  EXPECT_EQ(header.time, UINT64_MAX);
  EXPECT_EQ(header.periods, INT64_MAX);
  EXPECT_EQ(header.task_id, UINT64_MAX);
  EXPECT_EQ(header.spawn, UINTPTR_MAX);
}

// The smallest ring of its depth must always take a record when it is empty, wherever it ended.
TEST(ProfBuf, SmallestRingAlwaysHasRoomWhenEmpty) {
  for (size_t depth : {1, 3, 6, 11, 22}) {
    size_t size = 1;
    while (size < ProfBuf::MinWords(depth)) size *= 2;
    std::vector<uint64_t> words(size);
    ProfBuf buf(words, depth);
    ProfHeader header;
    std::span<const uintptr_t> pcs;
    for (size_t i = 0; i < 500; ++i) {
      ASSERT_FALSE(buf.BeginWrite().empty()) << "depth " << depth << " record " << i;
      buf.CommitWrite({.time = i}, i % (depth + 1));
      if (i % 7 == 0) buf.Lose(i, 1);
      ASSERT_TRUE(buf.Read(header, pcs));
      while (buf.Read(header, pcs)) {
      }
    }
  }
}

TEST(ProfBufDeathTest, RefusesARingThatIsTooSmall) {
  std::array<uint64_t, 16> words;
  EXPECT_DEATH(ProfBuf(words, 8), "MinWords");
  EXPECT_DEATH(ProfBuf(std::span(words).first(15), 1), "power of two");
}

}  // namespace
}  // namespace curg::internal
