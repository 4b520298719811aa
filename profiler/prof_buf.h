// SPDX-License-Identifier: Apache-2.0
//
// ProfBuf: a ring of stack records from one thread's signal handler to the writer task.
// Chapter 3 of the life of a sample (profiler/README.md).
//
//   SIGPROF handler --BeginWrite, CommitWrite--> [ProfBuf] --Read--> writer task
//
// Record    length and kinds · time · periods · tag · task id · spawn · pc[0..n), in 64-bit words,
//           never split by the end of the ring; a first word of 0 means "continue at the start".
// Reuse     a ring that the handler finds empty goes on at its start: what is touched is what a
//           backlog needs, not the whole ring in turn. anew_ says where that was; what is before it
//           is void, for both sides. The next time needs a reader that has gone past it.
// Loss      what finds no room is counted in lost_samples_ and lost_periods_, which only grow. The
//           next record that is written is preceded by a loss record with both totals; Read reports
//           what they exceed the totals it reported before. Where no later record is written, Read
//           takes the totals themselves once the ring is empty. So each loss is reported once and
//           in order, whoever comes first.
// Invariant read_ <= read_next_ <= wrote_ and wrote_ - max(read_, anew_) <= capacity, counted in
//           words since creation. At the end samples read + samples lost == samples offered.
// Ownership words in [max(read_, anew_), wrote_) belong to the reader, all others to the handler;
//           each record in [read_next_, wrote_) holds one reference on its tag, which Read passes
//           on to its caller.
// Ordering  wrote_: release in CommitWrite, acquire in Read (publishes words and anew_).
//           read_: release in Return, acquire in BeginWrite (returns words).
//           lost_samples_: release in Lose, acquire in Read (publishes lost_periods_ and
//           lost_since_, and every wrote_ before the loss; hence Read loads it before wrote_).
// ABA       none: all counters are 64 bits wide and never go back.
// Rejected  a mutex (handler); one ring for all threads (their timers fire in the same tick, so
//           that a lock in the handler collides on one sample in five); overwriting old records
//           (loses silently); a reader that sleeps on the ring (waking it from the handler is a
//           system call; the writer computes how long it may sleep instead).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "profiler/cpu_profile.h"
#include "runtime/check.h"
#include "runtime/tag.h"

namespace curg::internal {

// How much of a stack a record holds.
enum class StackShape : uint8_t {
  kWhole,      // up to its root
  kTruncated,  // it was deeper than the buffer's depth
  kNoRow,      // the walk met code without unwind information
  kBadFrame,   // the walk left its stack, or did not go up
  kLeafOnly,   // its bounds were unknown: not walked
  kSwitch,     // one pseudo frame: taken in a task switch
};

// What a record says besides its stack.
struct ProfHeader {
  // kLost: nothing else but time, samples and periods means anything
  SampleKind kind = SampleKind::kTask;
  StackShape shape = StackShape::kWhole;
  uint64_t time = 0;    // in ticks of the time-stamp counter; of the first one for a loss
  int64_t samples = 1;  // signals
  int64_t periods = 0;  // signals and their overruns
  const Tag* tag = nullptr;
  uint64_t task_id = 0;
  uintptr_t spawn = 0;  // as in Where
};

// `Atomic` is std::atomic, or a test's that lets it choose the schedule.
template <template <typename> class Atomic = std::atomic>
class BasicProfBuf {
 public:
  static constexpr size_t kHeaderWords = 6;

  // The smallest ring in which every record of this depth finds room when the ring is empty,
  // wherever in the ring the last one ended.
  static constexpr size_t MinWords(size_t depth_max) { return 2 * (2 * kHeaderWords + depth_max); }

  // Uses `words`, a power of two of them, which must outlive the buffer.
  // Requires: words.size() >= MinWords(depth_max).
  BasicProfBuf(std::span<uint64_t> words, size_t depth_max)
      : words_(words), mask_(words.size() - 1), depth_max_(depth_max) {
    CURG_CHECK((words.size() & mask_) == 0, "give the prof buffer a power of two of words");
    CURG_CHECK(words.size() >= MinWords(depth_max), "give the prof buffer MinWords(depth) words");
  }
  BasicProfBuf(const BasicProfBuf&) = delete;
  BasicProfBuf& operator=(const BasicProfBuf&) = delete;

  // Secures room for a record of the full depth; the caller writes program counters into the span
  // and calls CommitWrite. Empty when there is no room: the caller calls Lose.
  // Async-signal-safe, wait-free. Owner only: the handler. May run in parallel with Read, never
  // with another write.
  std::span<uintptr_t> BeginWrite();

  // Publishes the record for which BeginWrite secured room, with the first `depth` of its program
  // counters. A reference on `header.tag` goes with it. header.samples is taken to be one.
  // As BeginWrite.
  void CommitWrite(const ProfHeader& header, size_t depth);

  // Counts one sample of that many periods as lost.
  // As BeginWrite.
  void Lose(uint64_t time, int64_t periods);

  // Takes the next record, or returns false: all that was written has been read. The program
  // counters are valid until the next call. The caller owns one reference on header.tag, if there
  // is one. Not for signal handlers. Owner only: the writer task. May run in parallel with the
  // handler's calls.
  // Blocks: nothing.
  bool Read(ProfHeader& header, std::span<const uintptr_t>& pcs) {
    Return();
    return ReadOn(header, pcs);
  }

  // The same in two: reads on, while the words of what was read stay the reader's (Held, in two
  // parts where they go round the end), and gives all of these back to the handler.
  // As Read.
  bool ReadOn(ProfHeader& header, std::span<const uintptr_t>& pcs);
  std::array<std::span<uint64_t>, 2> Held() const;
  void Return();

  // Behind the last word, counted from words()'s first, of the records among those held.
  // Owner only: the writer task.
  size_t reach() const { return reach_; }

  size_t depth_max() const { return depth_max_; }
  std::span<uint64_t> words() const { return words_; }

 private:
  static_assert(std::is_same_v<uint64_t, uintptr_t>, "program counters are stored as words");

  bool LossUnwritten() const {
    return lost_samples_.load(std::memory_order_relaxed) != lost_written_;  // relaxed: own counter
  }
  void WriteLoss(uint64_t at);
  bool ReadRecord(uint64_t offset, ProfHeader& header, std::span<const uintptr_t>& pcs);
  bool ReadLoss(uint64_t time, int64_t samples, int64_t periods, ProfHeader& header);

  static constexpr size_t kCacheLine = 64;

  // shared
  alignas(kCacheLine) Atomic<uint64_t> wrote_{0};
  Atomic<int64_t> lost_samples_{0};
  Atomic<int64_t> lost_periods_{0};
  Atomic<uint64_t> lost_since_{0};
  Atomic<uint64_t> anew_{0};
  // owned by the handler
  uint64_t begun_ = 0;        // where the record of BeginWrite starts
  int64_t lost_begun_ = 0;    // lost_samples_ in the loss record that precedes it
  int64_t lost_written_ = 0;  // lost_samples_ in the last loss record committed
  // shared
  alignas(kCacheLine) Atomic<uint64_t> read_{0};
  // owned by the reader
  uint64_t read_next_ = 0;
  size_t reach_ = 0;
  int64_t reported_samples_ = 0;
  int64_t reported_periods_ = 0;
  // immutable
  alignas(kCacheLine) const std::span<uint64_t> words_;
  const size_t mask_;
  const size_t depth_max_;
};

using ProfBuf = BasicProfBuf<>;

// ---- handler's side
// -------------------------------------------------------------------------------

template <template <typename> class Atomic>
inline std::span<uintptr_t> BasicProfBuf<Atomic>::BeginWrite() {
  const bool loss = LossUnwritten();
  const size_t need = kHeaderWords + depth_max_ + (loss ? kHeaderWords : 0);
  // relaxed: only the handler writes them
  uint64_t begin = wrote_.load(std::memory_order_relaxed);
  uint64_t read = anew_.load(std::memory_order_relaxed);
  // acquire: pairs with the release in Return()
  read = std::max(read, read_.load(std::memory_order_acquire));
  if (read >= begin && (begin & mask_) != 0) {
    read = begin = (begin | mask_) + 1;
    anew_.store(begin, std::memory_order_relaxed);  // relaxed: wrote_ publishes it
  }
  const size_t to_end = words_.size() - (begin & mask_);
  const size_t skip = to_end < need ? to_end : 0;
  if (begin + skip + need - read > words_.size()) return {};

  if (skip != 0) words_[begin & mask_] = 0;
  begun_ = begin + skip;
  lost_begun_ = lost_written_;
  if (loss) {
    WriteLoss(begun_);
    begun_ += kHeaderWords;
  }
  return words_.subspan((begun_ & mask_) + kHeaderWords, depth_max_);
}

template <template <typename> class Atomic>
inline void BasicProfBuf<Atomic>::WriteLoss(uint64_t at) {
  uint64_t* const word = &words_[at & mask_];
  lost_begun_ = lost_samples_.load(std::memory_order_relaxed);  // relaxed: own counters
  word[0] = kHeaderWords | uint64_t{static_cast<uint8_t>(SampleKind::kLost)} << 32;
  word[1] = lost_since_.load(std::memory_order_relaxed);
  word[2] = static_cast<uint64_t>(lost_periods_.load(std::memory_order_relaxed));
  word[3] = 0;
  word[4] = static_cast<uint64_t>(lost_begun_);
}

template <template <typename> class Atomic>
inline void BasicProfBuf<Atomic>::CommitWrite(const ProfHeader& header, size_t depth) {
  uint64_t* const word = &words_[begun_ & mask_];
  word[0] = (kHeaderWords + depth) | uint64_t{static_cast<uint8_t>(header.kind)} << 32 |
            uint64_t{static_cast<uint8_t>(header.shape)} << 40;
  word[1] = header.time;
  word[2] = static_cast<uint64_t>(header.periods);
  word[3] = reinterpret_cast<uintptr_t>(header.tag);
  word[4] = header.task_id;
  word[5] = header.spawn;
  lost_written_ = lost_begun_;
  // release: pairs with the acquire in Read()
  wrote_.store(begun_ + kHeaderWords + depth, std::memory_order_release);
}

template <template <typename> class Atomic>
inline void BasicProfBuf<Atomic>::Lose(uint64_t time, int64_t periods) {
  // relaxed: the release below publishes them
  if (!LossUnwritten()) lost_since_.store(time, std::memory_order_relaxed);
  lost_periods_.store(lost_periods_.load(std::memory_order_relaxed) + periods,
                      std::memory_order_relaxed);
  // release: pairs with the acquire in Read()
  lost_samples_.store(lost_samples_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// ---- reader's side
// --------------------------------------------------------------------------------

template <template <typename> class Atomic>
void BasicProfBuf<Atomic>::Return() {
  reach_ = 0;
  read_.store(read_next_,
              std::memory_order_release);  // release: pairs with the acquire in BeginWrite()
}

template <template <typename> class Atomic>
std::array<std::span<uint64_t>, 2> BasicProfBuf<Atomic>::Held() const {
  const uint64_t read = read_.load(std::memory_order_relaxed);  // relaxed: the reader's own
  const size_t held = read_next_ - read;
  const size_t to_end = std::min(held, words_.size() - (read & mask_));
  return {words_.subspan(read & mask_, to_end), words_.first(held - to_end)};
}

template <template <typename> class Atomic>
bool BasicProfBuf<Atomic>::ReadOn(ProfHeader& header, std::span<const uintptr_t>& pcs) {
  pcs = {};
  // acquire: pairs with the release in Lose(). Before wrote_: if the ring turns out to be empty,
  // then every record that precedes these losses has been read. The periods and the time may
  // already be those of a further loss; the totals come right with the next call.
  const int64_t lost_samples = lost_samples_.load(std::memory_order_acquire);
  const int64_t lost_periods = lost_periods_.load(std::memory_order_relaxed);
  const uint64_t lost_since = lost_since_.load(std::memory_order_relaxed);
  // acquire: pairs with the release in CommitWrite()
  const uint64_t wrote = wrote_.load(std::memory_order_acquire);

  // relaxed: published by wrote_. The handler can move it only while all was read and returned.
  const uint64_t anew = anew_.load(std::memory_order_relaxed);
  if (read_next_ != wrote && read_next_ < anew) {
    read_next_ = anew;
    Return();  // of nothing, but so that Held() does not begin before it
  }
  while (read_next_ != wrote) {
    uint64_t offset = read_next_ & mask_;
    if (words_[offset] == 0) {
      read_next_ += words_.size() - offset;
      offset = 0;
    }
    const size_t length = words_[offset] & 0xffffffff;
    read_next_ += length;
    reach_ = std::max(reach_, offset + length);
    if (ReadRecord(offset, header, pcs)) return true;
  }
  return ReadLoss(lost_since, lost_samples, lost_periods, header);
}

// False for a loss record that says nothing new, since Read has reported those totals already.
template <template <typename> class Atomic>
bool BasicProfBuf<Atomic>::ReadRecord(uint64_t offset, ProfHeader& header,
                                      std::span<const uintptr_t>& pcs) {
  const uint64_t* const word = &words_[offset];
  const SampleKind kind{static_cast<uint8_t>(word[0] >> 32)};
  if (kind == SampleKind::kLost) {
    return ReadLoss(word[1], static_cast<int64_t>(word[4]), static_cast<int64_t>(word[2]), header);
  }
  header = {.kind = kind,
            .shape = StackShape{static_cast<uint8_t>(word[0] >> 40)},
            .time = word[1],
            .samples = 1,
            .periods = static_cast<int64_t>(word[2]),
            .tag = reinterpret_cast<const Tag*>(word[3]),
            .task_id = word[4],
            .spawn = word[5]};
  pcs = {word + kHeaderWords, (word[0] & 0xffffffff) - kHeaderWords};
  return true;
}

template <template <typename> class Atomic>
bool BasicProfBuf<Atomic>::ReadLoss(uint64_t time, int64_t samples, int64_t periods,
                                    ProfHeader& header) {
  // A loss record in the ring may be older than what Read took from the totals.
  const int64_t new_samples = samples > reported_samples_ ? samples - reported_samples_ : 0;
  const int64_t new_periods = periods > reported_periods_ ? periods - reported_periods_ : 0;
  if (new_samples == 0 && new_periods == 0) return false;
  reported_samples_ += new_samples;
  reported_periods_ += new_periods;
  header = {
      .kind = SampleKind::kLost, .time = time, .samples = new_samples, .periods = new_periods};
  return true;
}

}  // namespace curg::internal
