// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/label_storm.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "labels/labels.h"
#include "runtime/blocking.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/wait_group.h"
#include "runtime/system_stack.h"
#include "tests/pipeline/storm_functions.h"
#include "tests/profiler/signal_storm.h"

namespace curg::internal {
namespace {

constexpr int kNone = -1;
constexpr const char* kNames[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
static_assert(std::size(kNames) >= kStormKinds && std::size(kNames) >= kStormPhases);

// Which kind each task is, by its id; kept as long as a few million more tasks take to begin.
class KindsById {
 public:
  void Set(uint64_t id, int kind) {
    kinds_[id % kSize].store(static_cast<int8_t>(kind + 1), std::memory_order_relaxed);
  }
  int Get(uint64_t id) const { return kinds_[id % kSize].load(std::memory_order_relaxed) - 1; }

 private:
  static constexpr size_t kSize = size_t{1} << 23;
  std::vector<std::atomic<int8_t>> kinds_ = std::vector<std::atomic<int8_t>>(kSize);
};

struct Storm {
  KindsById kinds;
  std::atomic<bool> stop{false};
  std::atomic<int64_t> tasks{0};
  std::atomic<int64_t> phases{0};
  WaitGroup alive;
  Mutex mutex;
  Channel<int> channel{8};
};

// One task. Everything it does is below its kind's function.
class StormTask {
 public:
  StormTask(Storm& storm, int kind, int steps)
      : storm_(storm), kind_(kind), steps_(steps), random_(CurrentTaskId() * 0x9e3779b97f4a7c15) {}

  void Run() {
    storm_.kinds.Set(CurrentTaskId(), kind_);
    storm_.tasks.fetch_add(1, std::memory_order_relaxed);
    CallAsKind(
        kind_, [](void* self) { static_cast<StormTask*>(self)->Steps(); }, this);
  }

  // A task that inherits its labels from the caller. The last of its generation starts the next.
  static void Start(Storm& storm, int kind, int steps, bool successor) {
    storm.alive.Add(1);
    Go([&storm, kind, steps, successor] {
      StormTask(storm, kind, steps).Run();
      if (successor && !storm.stop.load(std::memory_order_relaxed)) {
        CallAsKind(
            kind, [](void* s) { Start(*static_cast<Storm*>(s), Kind(), kSteps, true); }, &storm);
      }
      storm.alive.Done();
    }).Detach();
  }

  static constexpr int kSteps = 40;

 private:
  // The kind of the current task, as its labels say.
  static int Kind() {
    int kind = kNone;
    (void)absl::SimpleAtoi(std::string(CurrentLabels().Get("kind").value_or("")), &kind);
    return kind;
  }

  uint64_t Next() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    return random_ ^= random_ << 17;
  }

  void Steps() {
    for (int i = 0; i < steps_ && !storm_.stop.load(std::memory_order_relaxed); ++i) Step();
  }

  void Step() {
    switch (Next() % 10) {
      case 0:
        return Yield();
      case 1:
        return Relabel();
      case 2:
        if (steps_ > 3) Start(storm_, kind_, static_cast<int>(Next() % 4), false);
        return;
      case 3:
        if (steps_ > 3) JoinChild();
        return;
      case 4: {
        const std::lock_guard lock(storm_.mutex);
        if (Next() % 4 == 0) Yield();
        return;
      }
      case 5:
        (void)storm_.channel.TrySend(kind_);
        (void)storm_.channel.TryReceive();
        return;
      case 6:
        return Throw();
      case 7:
        if (Next() % 8 == 0) SleepFor(std::chrono::microseconds(50));
        return Print();
      case 8:
        return Blocking([this] { Next() % 4 == 0 ? Relabel() : Print(); });
      case 9:
        return OnSystemStack([this] { Next() % 2 == 0 ? Relabel() : Print(); });
    }
  }

  void Relabel() {
    const int phase = static_cast<int>(Next() % kStormPhases);
    storm_.phases.fetch_add(1, std::memory_order_relaxed);
    const ScopedLabels labels({{"phase", kNames[phase]}});
    CallInPhase(
        phase,
        [](void* self) {
          StormTask& task = *static_cast<StormTask*>(self);
          if (task.Next() % 2 == 0) Yield();
          task.Print();
        },
        this);
  }

  void JoinChild() {
    Go([this] { StormTask(storm_, kind_, 2).Run(); }).Join();
  }

  void Throw() {
    try {
      const std::string held = absl::StrCat("kind ", kind_, " of many, longer than a small string");
      if (Next() % 2 == 0) Yield();
      throw std::runtime_error(held);
    } catch (const std::exception& error) {
      if (Next() % 2 == 0) Yield();
      sum_ += std::string_view(error.what()).size();
    }
  }

  void Print() {
    char text[64];
    sum_ += static_cast<uint64_t>(std::snprintf(text, sizeof(text), "%d %.3f", kind_, 1.5 * kind_));
  }

  Storm& storm_;
  const int kind_;
  const int steps_;
  uint64_t random_;
  uint64_t sum_ = 0;
};

class Checker {
 public:
  Checker(const Storm& storm, LabelStormCounts& counts) : storm_(storm), counts_(counts) {}

  void Check(const ProfHeader& header, std::span<const uintptr_t> pcs) {
    if (header.kind != SampleKind::kTask) {
      ++counts_.runtime;
      if (header.tag != nullptr) Wrong(header, "the runtime has a label");
      return;
    }
    ++counts_.samples;
    counts_.switches += header.shape == StackShape::kSwitch ? 1 : 0;
    counts_.whole += header.shape == StackShape::kWhole ? 1 : 0;
    const int kind = LabelOf(header, "kind");
    counts_.labelled += kind == kNone ? 0 : 1;
    // The task says who it is at its first instruction; the sample may be older.
    const int truth = storm_.kinds.Get(header.task_id);
    if (truth != kNone && truth != kind) return Wrong(header, "not the task's label");
    CheckFrames(header, pcs, kind);
  }

 private:
  void CheckFrames(const ProfHeader& header, std::span<const uintptr_t> pcs, int kind) {
    int kind_seen = kNone;
    for (size_t i = 0; i < pcs.size(); ++i) {
      const uintptr_t pc = pcs[i] - (i == 0 ? 0 : 1);
      const int of_kind = StormKindAt(pc);
      const int of_phase = StormPhaseAt(pc);
      if (of_kind != kNone) {
        if (kind_seen != kNone && kind_seen != of_kind) ++counts_.mixed;
        kind_seen = of_kind;
        if (of_kind != kind) return Wrong(header, "not the label of the function's kind");
      }
      if (of_phase != kNone && of_phase != LabelOf(header, "phase")) {
        return Wrong(header, "not the label of the function's phase");
      }
    }
  }

  static int LabelOf(const ProfHeader& header, std::string_view key) {
    const Labels labels = Labels::FromTag(TagRef::Share(header.tag));
    const std::string_view value = labels.Get(key).value_or("");
    return value.size() == 1 ? value[0] - '0' : kNone;
  }

  void Wrong(const ProfHeader& header, const char* what) {
    if (counts_.wrong++ != 0) return;
    counts_.first_wrong =
        absl::StrCat(what, ": task ", header.task_id, " of kind ", storm_.kinds.Get(header.task_id),
                     " has ", Labels::FromTag(TagRef::Share(header.tag)).ToString(), ", shape ",
                     static_cast<int>(header.shape));
  }

  const Storm& storm_;
  LabelStormCounts& counts_;
};

}  // namespace

LabelStormCounts RunLabelStorm(int workers, int64_t samples) {
  LabelStormCounts counts;
  const auto storm = std::make_unique<Storm>();
  Checker checker(*storm, counts);
  std::atomic<int64_t> checked{0};
  curg::Run({.workers = workers}, [&] {
    storm->kinds.Set(CurrentTaskId(), 0);
    const ScopedLabels everywhere({{"kind", kNames[0]}});
    SignalStorm signals({.depth_max = 64}, [&](const ProfHeader& header, auto pcs) {
      checker.Check(header, pcs);
      checked.store(counts.samples, std::memory_order_relaxed);
    });
    for (int i = 0; i < 6 * workers; ++i) {
      const int kind = i % kStormKinds;
      const ScopedLabels labels({{"kind", kNames[kind]}});
      StormTask::Start(*storm, kind, StormTask::kSteps, true);
    }
    while (checked.load(std::memory_order_relaxed) < samples) {
      SleepFor(std::chrono::milliseconds(5));
    }
    storm->stop.store(true, std::memory_order_relaxed);
    storm->alive.Wait();
    signals.Stop();
    counts.lost = signals.lost();
  });
  counts.tasks = storm->tasks.load();
  counts.phases = storm->phases.load();
  return counts;
}

}  // namespace curg::internal
