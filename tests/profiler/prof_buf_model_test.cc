// SPDX-License-Identifier: Apache-2.0
//
// Runs the ring's two sides through all schedules with at most a few preemptions, and through
// random ones with any number, on a ring that is as small as it can be. A schedule is the order in
// which the sides' atomic operations happen; what lies between two of them happens at once. Every
// operation takes effect at once, too (sequential consistency): what weaker orders permit is
// prof_buf_stress_test.cc's to find, under the thread sanitizer.
//
// It fails (or does not end) when wrote_ is published before the words, read_ moves before the
// reader is done with them, the ring begins anew although something is held, wrote_ is loaded
// before lost_samples_, room is not kept for the loss record or for what the end of the ring leaves
// over, or a loss counts as told when its record is begun.
#include <ucontext.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/prof_buf.h"

namespace curg::internal {
namespace {

// Two sides on stacks of their own. Before each atomic operation the running one asks who goes on.
class Model {
 public:
  using Chooser = std::function<bool()>;  // true: the other side goes on

  // Runs both to their ends under one schedule.
  void Run(std::function<void()> first, std::function<void()> second, Chooser choose) {
    choose_ = std::move(choose);
    sides_[0].Begin(std::move(first));
    sides_[1].Begin(std::move(second));
    running_ = 0;
    current = this;
    swapcontext(&home_, &sides_[0].context);
    current = nullptr;
  }

  void BeforeAtomic() {
    if (sides_[1 - running_].done || !choose_()) return;
    SwitchToOther();
  }

  static Model* current;

 private:
  struct Side {
    static constexpr size_t kStack = 64 << 10;
    std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStack);
    ucontext_t context;
    std::function<void()> body;
    bool done = false;

    void Begin(std::function<void()> fn) {
      body = std::move(fn);
      done = false;
      getcontext(&context);
      context.uc_stack.ss_sp = stack.get();
      context.uc_stack.ss_size = kStack;
      context.uc_link = nullptr;
      makecontext(
          &context, [] { current->Body(); }, 0);
    }
  };

  void Body() {
    Side& side = sides_[running_];
    side.body();
    side.done = true;
    if (sides_[1 - running_].done) setcontext(&home_);
    SwitchToOther();
  }

  void SwitchToOther() {
    Side& from = sides_[running_];
    running_ = 1 - running_;
    swapcontext(&from.context, &sides_[running_].context);
  }

  Chooser choose_;
  std::array<Side, 2> sides_;
  int running_ = 0;
  ucontext_t home_;
};

Model* Model::current = nullptr;

template <typename T>
class ModelAtomic {
 public:
  constexpr ModelAtomic(T value) : value_(value) {}
  T load(std::memory_order) const {
    if (Model::current != nullptr) Model::current->BeforeAtomic();
    return value_;
  }
  void store(T value, std::memory_order) {
    if (Model::current != nullptr) Model::current->BeforeAtomic();
    value_ = value;
  }

 private:
  T value_;
};

using ModelBuf = BasicProfBuf<ModelAtomic>;

// One run: the handler offers `offered` samples, the reader reads a few times at once, giving words
// back before every `batch`th, and then, when both are done, to the end. All that was offered must
// come out once, in order, or be told as lost, at the place where it was lost.
class Scenario {
 public:
  Scenario(size_t words, size_t depth, int offered, int reads, int batch)
      : words_(words),
        depth_(depth),
        offered_(offered),
        reads_(reads),
        batch_(batch),
        buf_(words_, depth) {}

  void operator()(Model& model, Model::Chooser choose) {
    model.Run([this] { Offer(); }, [this] { ReadSome(); }, std::move(choose));
    while (ReadOne()) {
    }
    EXPECT_EQ(seen_, offered_);
    EXPECT_EQ(periods_, periods_offered_);
  }

 private:
  void Offer() {
    for (int i = 0; i < offered_; ++i) {
      const int64_t periods = 1 + i % 3;
      periods_offered_ += periods;
      const std::span<uintptr_t> pcs = buf_.BeginWrite();
      if (pcs.empty()) {
        buf_.Lose(static_cast<uint64_t>(i), periods);
        continue;
      }
      const size_t depth = static_cast<size_t>(i) % (depth_ + 1);
      for (size_t n = 0; n < depth; ++n) pcs[n] = Pc(i, n);
      buf_.CommitWrite({.time = static_cast<uint64_t>(i),
                        .periods = periods,
                        .task_id = static_cast<uint64_t>(i)},
                       depth);
    }
  }

  void ReadSome() {
    for (int i = 0; i < reads_; ++i) ReadOne();
  }

  bool ReadOne() {
    ProfHeader header;
    std::span<const uintptr_t> pcs;
    if (reads_done_++ % batch_ == 0) buf_.Return();
    if (!buf_.ReadOn(header, pcs)) return false;
    // The handler may well go on while the reader looks at what it was given.
    if (Model::current != nullptr) Model::current->BeforeAtomic();
    periods_ += header.periods;
    if (header.kind == SampleKind::kLost) {
      seen_ += static_cast<int>(header.samples);
      return true;
    }
    // In order, and every loss before it told already: the sample's number is how many were seen.
    EXPECT_EQ(header.task_id, static_cast<uint64_t>(seen_));
    EXPECT_EQ(header.periods, 1 + seen_ % 3);
    EXPECT_EQ(pcs.size(), static_cast<size_t>(seen_) % (depth_ + 1));
    for (size_t n = 0; n < pcs.size(); ++n) EXPECT_EQ(pcs[n], Pc(seen_, n));
    ++seen_;
    return true;
  }

  static uintptr_t Pc(int sample, size_t n) { return static_cast<uintptr_t>(sample) * 16 + n + 1; }

  std::vector<uint64_t> words_;
  const size_t depth_;
  const int offered_;
  const int reads_;
  const int batch_;
  ModelBuf buf_;
  int64_t periods_offered_ = 0;
  // owned by the reader
  int reads_done_ = 0;
  int seen_ = 0;
  int64_t periods_ = 0;
};

// Goes through all choice sequences with at most `preemptions` times "the other", depth first.
class Exhaustive {
 public:
  explicit Exhaustive(int preemptions) : preemptions_(preemptions) {}

  bool Choose() {
    if (at_ == choices_.size()) choices_.push_back(false);
    return choices_[at_++];
  }

  // Sets the next sequence up; false when there is none.
  bool Next() {
    choices_.resize(at_);
    at_ = 0;
    while (!choices_.empty()) {
      if (!choices_.back() && Taken() < preemptions_) {
        choices_.back() = true;
        return true;
      }
      choices_.pop_back();
    }
    return false;
  }

 private:
  int Taken() const {
    int taken = 0;
    for (const bool choice : choices_) taken += choice ? 1 : 0;
    return taken;
  }

  const int preemptions_;
  std::vector<bool> choices_;
  size_t at_ = 0;
};

// The thread sanitizer cannot follow a side that ends without returning, and keeps its frames for
// good; it gets a part of the schedules.
#ifdef __SANITIZE_THREAD__
constexpr int kFewerPreemptions = 1;
constexpr int kRandomSchedules = 300;
#else
constexpr int kFewerPreemptions = 0;
constexpr int kRandomSchedules = 5'000;
#endif

void ExploreAll(int preemptions, size_t words, size_t depth, int offered, int reads,
                int batch = 1) {
  Model model;
  Exhaustive schedule(preemptions - kFewerPreemptions);
  int schedules = 0;
  do {
    Scenario scenario(words, depth, offered, reads, batch);
    scenario(model, [&schedule] { return schedule.Choose(); });
    ++schedules;
  } while (!testing::Test::HasFailure() && schedule.Next());
  std::printf("%d schedules\n", schedules);
  EXPECT_GT(schedules, kFewerPreemptions == 0 ? 10'000 : 1'000);
}

// depth 1 and 32 words: three records at once, then losses.
TEST(ProfBufModel, BasicAllSchedules) {
  ExploreAll(/*preemptions=*/4, 32, 1, /*offered=*/4, /*reads=*/4);
}

// Twice the ring's content and a slow reader: losses, told in the ring and from the totals.
TEST(ProfBufModel, OverflowAllSchedules) {
  ExploreAll(/*preemptions=*/3, 32, 1, /*offered=*/9, /*reads=*/5);
}

// Records that never end where the ring does.
TEST(ProfBufModel, WraparoundAllSchedules) {
  ExploreAll(/*preemptions=*/3, 32, 4, /*offered=*/7, /*reads=*/7);
}

// Words are given back three records at a time; then the ring is often empty, and begins anew.
TEST(ProfBufModel, BatchesAllSchedules) {
  ExploreAll(/*preemptions=*/3, 64, 2, /*offered=*/6, /*reads=*/6, /*batch=*/3);
}

TEST(ProfBufModel, RandomSchedules) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  Model model;
  for (int i = 0; i < kRandomSchedules && !HasFailure(); ++i) {
    const size_t depth = random() % 6;
    const unsigned often = 1 + random() % 8;  // a switch in 1 to 8 operations
    Scenario scenario(depth < 5 ? 32 : 64, depth, /*offered=*/40, /*reads=*/60,
                      /*batch=*/1 + static_cast<int>(random() % 4));
    scenario(model, [&random, often] { return random() % often == 0; });
  }
}

}  // namespace
}  // namespace curg::internal
