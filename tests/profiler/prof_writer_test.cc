// SPDX-License-Identifier: Apache-2.0
//
// The writer, without the service worker: all of it works on plain threads as well.
#include "profiler/prof_writer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/pseudo_frames.h"
#include "profiler/sample_tagger.h"
#include "tests/profiler/burn.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using Pcs = std::vector<uintptr_t>;

TEST(DrainPeriod, IsAQuarterOfTheRingAtThisRateAndDepth) {
  // 32 KiB hold 30.8 records of 133 words; a quarter of that are 7.7.
  const std::chrono::nanoseconds at_100_hz = DrainPeriod(100, 128, 32 << 10);
  EXPECT_GT(at_100_hz, milliseconds(76));
  EXPECT_LT(at_100_hz, milliseconds(78));
  EXPECT_EQ(DrainPeriod(200, 128, 32 << 10), at_100_hz / 2);
  EXPECT_EQ(DrainPeriod(100, 128, 256 << 10), milliseconds(100));  // never longer
  EXPECT_EQ(DrainPeriod(1, 1, 32 << 10), milliseconds(100));
  // No kernel's tick is faster than 1000 Hz.
  EXPECT_EQ(DrainPeriod(10'000, 128, 32 << 10), DrainPeriod(1'000, 128, 32 << 10));
  EXPECT_EQ(DrainPeriod(10'000, 1024, 16 << 10), milliseconds(1));  // never shorter
}

TEST(StopRequest, ReturnsAtTheDeadline) {
  StopRequest stop;
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(5);
  EXPECT_FALSE(stop.WaitUntil(deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

TEST(StopRequest, IsRemembered) {
  StopRequest stop;
  stop.Make();
  stop.Make();
  EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
  EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
}

TEST(StopRequest, WakesTheWaiter) {
  for (int i = 0; i < 100; ++i) {
    StopRequest stop;
    std::thread waiter([&stop] {
      EXPECT_TRUE(stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(1)));
    });
    if (i % 2 == 0) std::this_thread::sleep_for(milliseconds(1));
    stop.Make();
    waiter.join();
  }
}

// The deadline and the request at the same time, many times.
TEST(StopRequest, RacesWithItsDeadline) {
  for (int i = 0; i < 500; ++i) {
    StopRequest stop;
    std::thread waiter([&stop] {
      while (!stop.WaitUntil(std::chrono::steady_clock::now() + std::chrono::microseconds(20))) {
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(i % 60));
    stop.Make();
    waiter.join();
  }
}

// A buffer with room for a few records, and a writer to drain it.
class ProfWriterTest : public testing::Test {
 protected:
  bool Write(ProfHeader header, const Pcs& pcs) {
    const std::span<uintptr_t> room = buffer_.BeginWrite();
    if (room.empty()) {
      buffer_.Lose(header.time, header.periods);
      return false;
    }
    std::copy(pcs.begin(), pcs.end(), room.begin());
    if (header.tag != nullptr) header.tag->Ref();
    buffer_.CommitWrite(header, pcs.size());
    return true;
  }

  std::vector<uint64_t> words_ = std::vector<uint64_t>(256);
  ProfBuf buffer_{words_, 16};
  ProfWriter writer_{{.sampler = {.period_ns = 1'000'000, .depth_max = 16}}};
};

TEST_F(ProfWriterTest, CountsWhatItDrains) {
  std::atomic<int> alive{0};
  TagRef tag = TagRef::Adopt(new CountedTag(alive));
  ASSERT_TRUE(Write({.periods = 1, .tag = tag.get()}, {1, 2, 3}));
  ASSERT_TRUE(Write({.periods = 3, .tag = tag.get()}, {1, 2, 3}));
  ASSERT_TRUE(Write({.kind = SampleKind::kRuntime, .periods = 1}, {9}));
  writer_.Drain(buffer_);
  tag = {};

  CpuProfile profile = writer_.Finish();
  EXPECT_EQ(profile.period_ns, 1'000'000);
  EXPECT_EQ(profile.quality.engine, "posix-cpu-timer");
  EXPECT_EQ(profile.quality.samples, 3);
  EXPECT_EQ(profile.quality.periods, 5);
  EXPECT_EQ(profile.quality.overruns, 2);
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[0].pcs, (Pcs{1, 2, 3}));
  EXPECT_EQ(profile.entries[0].samples, 2);
  EXPECT_EQ(profile.entries[0].periods, 4);
  EXPECT_TRUE(profile.entries[0].tag);
  EXPECT_EQ(profile.entries[1].kind, SampleKind::kRuntime);
  EXPECT_EQ(alive.load(), 1);  // the profile has it
  profile = {};
  EXPECT_EQ(alive.load(), 0);
}

TEST_F(ProfWriterTest, EndsIncompleteStacksInWhatSaysWhy) {
  ASSERT_TRUE(Write({.shape = StackShape::kTruncated, .periods = 5}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kNoRow, .periods = 4}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kLeafOnly, .periods = 3}, {1}));
  ASSERT_TRUE(
      Write({.kind = SampleKind::kForeign, .shape = StackShape::kLeafOnly, .periods = 2}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kSwitch, .periods = 1}, {PseudoLeaf(&TaskSwitch)}));
  writer_.Drain(buffer_);
  const CpuProfile profile = writer_.Finish();
  ASSERT_EQ(profile.entries.size(), 5u);
  EXPECT_EQ(profile.entries[0].pcs, (Pcs{1, PseudoCaller(&TruncatedStack)}));
  EXPECT_TRUE(profile.entries[0].truncated);
  EXPECT_EQ(profile.entries[1].pcs, (Pcs{1, PseudoCaller(&BrokenStack)}));
  EXPECT_EQ(profile.entries[2].pcs, (Pcs{1, PseudoCaller(&UnknownStack)}));
  EXPECT_EQ(profile.entries[3].pcs, (Pcs{1, PseudoCaller(&ForeignThread)}));
  EXPECT_EQ(profile.entries[4].pcs, (Pcs{PseudoLeaf(&TaskSwitch)}));
  EXPECT_EQ(profile.quality.truncated, 1);
  EXPECT_EQ(profile.quality.failed_unwinds, 3);
  EXPECT_EQ(profile.quality.failed_no_row, 1);
  EXPECT_EQ(profile.quality.failed_bad_frame, 0);
  EXPECT_EQ(profile.quality.failed_no_bounds, 2);
  EXPECT_EQ(profile.quality.switches, 1);
}

// Samples before time 100 keep their tags; later ones get the tagger's.
class LateTagger : public SampleTagger {
 public:
  explicit LateTagger(TagRef late) : late_(std::move(late)) {}
  TagRef TagOf(const Tag* tag, uint64_t time) override {
    return time < 100 ? TagRef::Share(tag) : late_;
  }

 private:
  TagRef late_;
};

TEST_F(ProfWriterTest, AsksTheTaggerForTheTagAtThatTime) {
  std::atomic<int> alive{0};
  const TagRef own = TagRef::Adopt(new CountedTag(alive));
  const TagRef late = TagRef::Adopt(new CountedTag(alive));
  {
    LateTagger tagger(late);
    TheSampleTagger() = &tagger;
    ASSERT_TRUE(Write({.time = 99, .periods = 3, .tag = own.get()}, {1}));
    ASSERT_TRUE(Write({.time = 100, .periods = 1, .tag = own.get()}, {1}));
    ASSERT_TRUE(Write({.kind = SampleKind::kForeign, .time = 101, .periods = 1}, {2}));
    writer_.Drain(buffer_);
    TheSampleTagger() = nullptr;
  }
  const CpuProfile profile = writer_.Finish();
  ASSERT_EQ(profile.entries.size(), 3u);
  EXPECT_EQ(profile.entries[0].tag, own);
  EXPECT_EQ(profile.entries[1].tag, late);
  EXPECT_EQ(profile.entries[2].tag, late);
}

// At the end of a profile what was lost last is told although nothing was written after it.
TEST_F(ProfWriterTest, ReadAtEndAfterOverflow) {
  int64_t written = 0;
  while (Write({.periods = 1}, Pcs(16, 7))) ++written;
  buffer_.Lose(5, 10);
  writer_.Drain(buffer_);
  const CpuProfile profile = writer_.Finish();
  EXPECT_EQ(profile.quality.samples, written);
  EXPECT_EQ(profile.quality.lost_samples, 2);
  EXPECT_EQ(profile.quality.lost_periods, 11);
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[1].kind, SampleKind::kLost);
  EXPECT_EQ(profile.entries[1].pcs, Pcs{PseudoLeaf(&LostSamples)});
  EXPECT_EQ(profile.entries[1].samples, 2);
  EXPECT_EQ(profile.entries[1].periods, 11);
}

// The writer that sleeps gets what is written meanwhile, more than the ring holds, and a request
// ends its sleep; again and again.
TEST_F(ProfWriterTest, BlockingWriteRead) {
  for (int round = 0; round < 3; ++round) {
    ProfWriter writer({.sampler = {.period_ns = 1'000'000, .depth_max = 128}});
    ASSERT_TRUE(writer.Start().ok());
    CpuProfile profile;
    std::thread runner([&] { profile = writer.Run(); });
    // A ring of 32 KiB holds 31 of these stacks, and the tick comes at least 100 times a second.
    BurnCpuDeep(124, milliseconds(round == 0 ? 600 : 20));
    writer.RequestStop();
    runner.join();
    EXPECT_EQ(profile.quality.lost_samples, 0);
    EXPECT_GT(profile.quality.samples, round == 0 ? 40 : 0);
  }
}

}  // namespace
}  // namespace curg::internal
