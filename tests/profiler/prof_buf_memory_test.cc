// SPDX-License-Identifier: Apache-2.0
//
// What rings keep of the memory they have touched.
#include "profiler/prof_buf_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/sample_batch.h"

namespace curg::internal {
namespace {

constexpr size_t kDepth = 128;
constexpr size_t kPage = 4096;

struct Delete {
  void operator()(ProfBuf* buffer) const { DeleteProfBuf(buffer); }
};

size_t ResidentBytes(const ProfBuf& buffer) {
  std::vector<unsigned char> pages(buffer.words().size_bytes() / kPage);
  EXPECT_EQ(mincore(buffer.words().data(), buffer.words().size_bytes(), pages.data()), 0);
  return kPage * static_cast<size_t>(std::count_if(pages.begin(), pages.end(),
                                                   [](unsigned char page) { return page & 1; }));
}

bool Write(ProfBuf& buffer, uint64_t number, size_t depth) {
  const std::span<uintptr_t> pcs = buffer.BeginWrite();
  if (pcs.empty()) {
    buffer.Lose(number, 1);
    return false;
  }
  std::fill_n(pcs.begin(), depth, number);
  buffer.CommitWrite({.time = number, .periods = 1}, depth);
  return true;
}

// The stacks are what was written.
void ExpectIntact(const SampleBatch& batch) {
  for (const SampleBatch::Record& record : batch.records()) {
    for (const uintptr_t pc : batch.PcsOf(record)) ASSERT_EQ(pc, record.header.time);
  }
}

class ProfBufMemory : public testing::Test {
 protected:
  const std::unique_ptr<ProfBuf, Delete> buffer_{NewProfBuf(kDepth)};
  SampleBatch batch_;
};

// At 1 kHz, that is a writer which comes a fifth of a second late.
TEST_F(ProfBufMemory, HoldsABacklogOf200DeepStacks) {
  for (uint64_t i = 0; i < 200; ++i) ASSERT_TRUE(Write(*buffer_, i, kDepth));
  batch_.Read(*buffer_);
  EXPECT_EQ(batch_.records().size(), 200u);
  ExpectIntact(batch_);
}

TEST_F(ProfBufMemory, WhoeverKeepsUpTouchesAPageOrTwo) {
  for (uint64_t i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(Write(*buffer_, i, i % kDepth));
    if (i % 4 == 3) batch_.Read(*buffer_);
  }
  EXPECT_LE(ResidentBytes(*buffer_), 2 * kPage);
}

TEST_F(ProfBufMemory, ABacklogsPagesGoBack) {
  for (int round = 0; round < 5; ++round) {
    uint64_t written = 0;
    while (Write(*buffer_, written, kDepth)) ++written;
    EXPECT_GT(ResidentBytes(*buffer_), kProfBufBytes * 3 / 4);
    batch_.Read(*buffer_);
    EXPECT_EQ(batch_.records().size(), written + 1);  // and a loss
    ExpectIntact(batch_);
    EXPECT_LE(ResidentBytes(*buffer_), kProfBufBytesKept + kPage);
  }
}

// Pages go while the handler writes beside them.
TEST_F(ProfBufMemory, GivesNothingBackThatIsInUse) {
  constexpr uint64_t kOffered = 100'000;
  std::atomic<bool> written{false};
  std::thread handler([&] {
    for (uint64_t i = 0; i < kOffered; ++i) {
      if (!Write(*buffer_, i, i * 7 % (kDepth + 1))) std::this_thread::yield();
    }
    written = true;
  });
  uint64_t seen = 0;
  for (bool last = false; !last;) {
    last = written;
    batch_.Read(*buffer_);
    ExpectIntact(batch_);
    for (const SampleBatch::Record& record : batch_.records()) {
      if (record.header.kind != SampleKind::kLost) {
        EXPECT_EQ(record.header.time, seen);
      }
      seen += static_cast<uint64_t>(record.header.samples);
    }
    if (HasFailure()) break;
  }
  handler.join();
  EXPECT_EQ(seen, kOffered);
}

}  // namespace
}  // namespace curg::internal
