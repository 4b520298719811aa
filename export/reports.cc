// SPDX-License-Identifier: Apache-2.0
#include "export/reports.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "export/report_words.h"
#include "export/task_text.h"
#include "profiler/task_profiler.h"
#include "profiler/wait_graph.h"
#include "runtime/futex.h"
#include "runtime/report_text.h"
#include "runtime/reporter.h"
#include "runtime/tag.h"
#include "runtime/thread_registry.h"
#include "runtime/timers.h"

namespace curg {
namespace {

using internal::AppendAbandoned;
using internal::AppendDeadlock;
using internal::AppendFatalHead;
using internal::AppendFatalRest;
using internal::AppendLongSlice;
using internal::AppendOverflowHead;
using internal::AppendOverflowRest;
using internal::FutexWait;
using internal::FutexWake;
using internal::MonotonicNow;
using internal::ReportWords;
using internal::StderrSink;
using internal::StringSink;
using internal::SymbolWords;

constexpr int64_t kPatienceNs = 3'000'000'000;

void Print(const StringSink& text) { StderrSink().Append(text.text()); }

// A report whose task outlives what it was made of.
struct KeptLongSlice {
  explicit KeptLongSlice(const LongSliceReport& original)
      : report(original),
        name(original.task.name),
        stack(original.task.stack.begin(), original.task.stack.end()) {
    if (report.task.tag != nullptr) report.task.tag->Ref();
    tag = TagRef::Adopt(report.task.tag);
  }

  LongSliceReport report;
  std::string name;
  std::vector<uintptr_t> stack;
  TagRef tag;
};

// Its thread waits for wake_ to move, and then looks at everything.
//
// fatal_: null -> the report, by the handler of the first thread that fails; it stays there. The
// handler waits for done_, and its stack holds the report until then.
class WordReporter final : public Reporter {
 public:
  WordReporter() {
    std::thread thread([this] { Run(); });
    pthread_setname_np(thread.native_handle(), "curg-reports");
    thread.detach();  // to the end of the process
  }

  void OnStackOverflow(const StackOverflowReport& report) noexcept override {
    {
      StderrSink sink;
      AppendOverflowHead(sink, report);
    }
    SayFatal({.overflow = &report});
  }

  void OnFatalSignal(const FatalSignalReport& report) noexcept override {
    {
      StderrSink sink;
      AppendFatalHead(sink, report);
    }
    SayFatal({.signal = &report});
  }

  void OnLongSlice(const LongSliceReport& report) override {
    Enqueue([kept = KeptLongSlice(report)](SymbolWords& words) mutable {
      kept.report.task.name = kept.name;
      kept.report.task.stack = kept.stack;
      StringSink text;
      AppendLongSlice(text, words, kept.report);
      Print(text);
    });
  }

  void OnDeadlock(const DeadlockReport& report) override {
    std::atomic<uint32_t> done{0};
    Enqueue([&](SymbolWords& words) {
      StringSink text;
      AppendDeadlock(text, words, report);
      const TaskProfile profile = internal::CollectTaskProfileHere({});
      for (const auto& cycle : WaitCycles(profile)) text.Append(WaitCycleText(profile, cycle));
      Print(text);
      done.store(1, std::memory_order_release);  // release: the report may be gone afterwards
      FutexWake(done);
    });
    while (done.load(std::memory_order_acquire) == 0) FutexWait(done, 0);
  }

  void OnAbandoned(const AbandonedReport& report) override {
    std::atomic<uint32_t> done{0};
    Enqueue([&](SymbolWords& words) {
      StringSink text;
      AppendAbandoned(text, words, report);
      Print(text);
      done.store(1, std::memory_order_release);  // release: the report may be gone afterwards
      FutexWake(done);
    });
    while (done.load(std::memory_order_acquire) == 0) FutexWait(done, 0);
  }

  // At the program's end: waits for what is being put into words, no longer than three seconds.
  void Finish() {
    const int64_t deadline = MonotonicNow() + kPatienceNs;
    // acquire: pairs with the release in Run()
    while (const uint32_t pending = pending_.load(std::memory_order_acquire)) {
      if (!FutexWait(pending_, pending, deadline)) return;
    }
  }

 private:
  using Job = std::function<void(SymbolWords&)>;

  // What ends the process. One of the two.
  struct Fatal {
    const StackOverflowReport* overflow = nullptr;
    const FatalSignalReport* signal = nullptr;

    void AppendRest(internal::ReportSink& sink, ReportWords& words) const {
      if (overflow != nullptr) {
        AppendOverflowRest(sink, words, *overflow);
      } else {
        AppendFatalRest(sink, words, *signal);
      }
    }
  };

  // How far the thread is with it: the report is not read any more, all is said.
  static constexpr uint32_t kSaid = 1;
  static constexpr uint32_t kAllSaid = 2;

  // In the handler: has the thread say it, or says it in addresses if that takes too long.
  void SayFatal(const Fatal& fatal) noexcept {
    const Fatal* none = nullptr;
    // acq_rel: hands the report to Run()
    if (fatal_.compare_exchange_strong(none, &fatal, std::memory_order_acq_rel)) {
      Wake();
      AwaitDone(kSaid, MonotonicNow() + kPatienceNs);
      // Whoever begins to say it while we give up: the report stays ours, so wait for the end.
      if (taken_.exchange(true, std::memory_order_acq_rel)) {
        AwaitDone(kSaid, internal::TimerQueue::kNever);
        AwaitDone(kAllSaid, MonotonicNow() + kPatienceNs);
        return;
      }
    }
    StderrSink sink;
    ReportWords addresses;
    fatal.AppendRest(sink, addresses);
  }

  void AwaitDone(uint32_t wanted, int64_t deadline) {
    // acquire: pairs with SayFatal(words)
    for (uint32_t done; (done = done_.load(std::memory_order_acquire)) < wanted;) {
      if (!FutexWait(done_, done, deadline)) return;
    }
  }

  void Wake() {
    wake_.fetch_add(1, std::memory_order_release);  // release: pairs with Run()
    FutexWake(wake_);
  }

  void Enqueue(Job job) {
    {
      std::lock_guard lock(lock_);
      jobs_.push_back(std::move(job));
      pending_.fetch_add(1, std::memory_order_relaxed);  // relaxed: taken off by who has the job
    }
    Wake();
  }

  void Run() {
    internal::ScopedKnownThread known(internal::ThreadKind::kService);
    SymbolWords words;
    while (true) {
      const uint32_t seen = wake_.load(std::memory_order_acquire);  // acquire: pairs with Wake()
      SayFatal(words);
      for (Job job; (job = NextJob()) != nullptr;) {
        job(words);
        pending_.fetch_sub(1, std::memory_order_release);  // release: pairs with Finish()
        FutexWake(pending_);
      }
      FutexWait(wake_, seen);
    }
  }

  Job NextJob() {
    std::lock_guard lock(lock_);
    if (jobs_.empty()) return nullptr;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  void SayFatal(SymbolWords& words) {
    // acquire: pairs with SayFatal(fatal)
    const Fatal* const fatal = fatal_.load(std::memory_order_acquire);
    if (fatal == nullptr || done_.load(std::memory_order_relaxed) != 0) return;
    StringSink text;
    fatal->AppendRest(text, words);
    // acq_rel: one of the two says it; what is in words already counts as said
    const bool ours = !taken_.exchange(true, std::memory_order_acq_rel);
    if (ours) Print(text);
    SetDone(kSaid);
    if (ours) SayOthers(words);
    SetDone(kAllSaid);
  }

  void SetDone(uint32_t done) {
    done_.store(done, std::memory_order_release);  // release: *fatal is not read any more
    FutexWake(done_);
  }

  // What the other tasks were doing. The one that failed stands in its handler, and counts as not
  // reached.
  static void SayOthers(SymbolWords& words) {
    constexpr std::chrono::milliseconds kPatience(200);
    constexpr size_t kGroupsMax = 100;
    const TaskProfile profile =
        internal::CollectTaskProfileHere({.each_task = false}, nullptr, kPatience);
    const auto print = [](std::string_view text) {
      StderrSink().Append(text);
      return true;
    };
    internal::WriteGroupedTaskText(profile, words, print, {.paragraphs_max = kGroupsMax});
  }

  std::atomic<uint32_t> wake_{0};
  std::atomic<const Fatal*> fatal_{nullptr};
  std::atomic<bool> taken_{false};
  std::atomic<uint32_t> done_{0};
  std::mutex lock_;
  std::deque<Job> jobs_;              // guarded by lock_
  std::atomic<uint32_t> pending_{0};  // jobs not done
};

WordReporter* TheReporter() {
  static WordReporter* const reporter = new WordReporter;  // never destroyed: reports come to the
                                                           // end
  return reporter;
}

}  // namespace

void InstallReports() {
  static const bool installed = [] {
    SetReporter(TheReporter());
    std::atexit([] { TheReporter()->Finish(); });
    return true;
  }();
  (void)installed;
}

}  // namespace curg
