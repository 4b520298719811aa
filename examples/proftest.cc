// SPDX-License-Identifier: Apache-2.0
//
// How well can this kernel sample? For each engine, rate and load, this program profiles threads
// whose CPU time it knows, and prints what should have come and what did.
//
//   ./bazelw run -c opt //examples:proftest
//   ./bazelw run -c opt //examples:proftest -- --engines=posix-cpu-timer --rates=100,1000
//   --histogram
//
// You will see the signals of timers stop at the kernel's tick (100 to 1000 a second) while their
// overruns go on, and perf events keep to the rate; or why your kernel refuses them.
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "export/command_line.h"
#include "export/table.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "profiler/sample_tagger.h"

ABSL_FLAG(std::vector<std::string>, engines,
          (std::vector<std::string>{"posix-cpu-timer", "perf-task-clock", "perf-task-clock-user",
                                    "perf-cycles"}),
          "engines to try, with commas; also auto, perf-instructions, perf-cache-misses");
ABSL_FLAG(std::vector<std::string>, rates, (std::vector<std::string>{"100", "250", "1000", "4000"}),
          "samples a second of CPU, with commas");
ABSL_FLAG(std::vector<std::string>, threads, (std::vector<std::string>{"1", "4"}),
          "numbers of threads that are busy all the time, with commas");
ABSL_FLAG(absl::Duration, time, absl::Seconds(1), "how long each of these computes, in CPU time");
ABSL_FLAG(int, bursts, 50, "threads of --burst each, four at a time; 0: none");
ABSL_FLAG(absl::Duration, burst, absl::Milliseconds(30), "CPU time of one burst");
ABSL_FLAG(bool, histogram, false, "also print how long it took from signal to signal");

namespace {

using std::chrono::nanoseconds;

nanoseconds ThreadCpu() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

// Computes for so long, under a label of its own; returns what it used.
nanoseconds Compute(int number, nanoseconds cpu) {
  curg::SetLabels(curg::Labels::Of({{"thread", std::to_string(number)}}));
  volatile uint64_t sink = 1;
  const nanoseconds begin = ThreadCpu();
  while (ThreadCpu() - begin < cpu) {
    for (int i = 0; i < 2000; ++i) sink = sink * 3 + 1;
  }
  const nanoseconds used = ThreadCpu() - begin;
  curg::SetLabels({});
  return used;
}

// Notes when each sample was taken. It sits where a tagger may, and changes no tag.
class Times final : public curg::internal::SampleTagger {
 public:
  curg::TagRef TagOf(const curg::Tag* tag, uint64_t time) override {
    if (tag != nullptr) by_tag_[tag].push_back(time);  // one label set a thread
    return curg::TagRef::Share(tag);
  }
  std::map<const curg::Tag*, std::vector<uint64_t>> Take() { return std::exchange(by_tag_, {}); }

 private:
  std::map<const curg::Tag*, std::vector<uint64_t>> by_tag_;
};

struct Load {
  std::string name;
  int threads = 1;
  int at_a_time = 1;
  nanoseconds cpu{0};
};

struct Outcome {
  double period_ns = 0;
  nanoseconds used{0};
  int64_t delivered = 0;
  int64_t overruns = 0;
  int64_t lost = 0;
  double credited = 0;  // of what was used
  double least = 0;     // the thread that got least for what it used
  double most = 0;
  std::string engine = {};
  std::vector<double> intervals_us = {};
};

// Runs the load's threads; returns what each used.
std::vector<nanoseconds> RunLoad(const Load& load) {
  std::vector<nanoseconds> used(static_cast<size_t>(load.threads));
  for (int first = 0; first < load.threads; first += load.at_a_time) {
    std::vector<std::thread> threads;
    for (int i = first; i < std::min(first + load.at_a_time, load.threads); ++i) {
      threads.emplace_back(
          [&used, &load, i] { used[static_cast<size_t>(i)] = Compute(i, load.cpu); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  return used;
}

// The intervals between one thread's samples, in microseconds of wall time.
std::vector<double> Intervals(Times& times, double us_per_tick) {
  std::vector<double> intervals;
  for (auto& [tag, ticks] : times.Take()) {
    std::sort(ticks.begin(), ticks.end());
    for (size_t i = 1; i < ticks.size(); ++i) {
      intervals.push_back(static_cast<double>(ticks[i] - ticks[i - 1]) * us_per_tick);
    }
  }
  std::sort(intervals.begin(), intervals.end());
  return intervals;
}

absl::StatusOr<Outcome> Measure(curg::CpuEngine engine, int rate_hz, const Load& load,
                                Times& times) {
  absl::StatusOr<curg::CpuProfileSession> session =
      curg::StartCpuProfile({.rate_hz = rate_hz, .engine = engine});
  if (!session.ok()) return session.status();
  const auto wall_begin = std::chrono::steady_clock::now();
  const uint64_t ticks_begin = curg::internal::SampleTime();
  const std::vector<nanoseconds> used = RunLoad(load);
  const auto ticks = static_cast<double>(curg::internal::SampleTime() - ticks_begin);
  const std::chrono::duration<double, std::micro> wall =
      std::chrono::steady_clock::now() - wall_begin;
  const curg::CpuProfile profile = session->Stop();

  Outcome outcome = {.period_ns = 1e9 / rate_hz,
                     .overruns = profile.quality.overruns,
                     .lost = profile.quality.lost_samples,
                     .least = INFINITY,
                     .engine = profile.quality.engine};
  std::map<int, double> weight;
  for (const curg::CpuProfileEntry& entry : profile.entries) {
    const auto label = curg::Labels::FromTag(entry.tag).Get("thread");
    int thread = 0;
    if (!label.has_value() || !absl::SimpleAtoi(std::string(*label), &thread)) continue;
    weight[thread] += static_cast<double>(entry.weight);
    outcome.delivered += entry.samples;
  }
  double credited = 0;
  for (size_t i = 0; i < used.size(); ++i) {
    const double share = weight[static_cast<int>(i)] / static_cast<double>(used[i].count());
    outcome.least = std::min(outcome.least, share);
    outcome.most = std::max(outcome.most, share);
    credited += weight[static_cast<int>(i)];
    outcome.used += used[i];
  }
  outcome.credited = credited / static_cast<double>(outcome.used.count());
  outcome.intervals_us = Intervals(times, wall.count() / ticks);
  return outcome;
}

std::string At(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) return "-";
  return absl::StrFormat(
      "%.0f", sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))]);
}

// In tenths of the period.
void PrintHistogram(const Outcome& outcome) {
  std::map<int, int64_t> buckets;
  int64_t largest = 1;
  for (const double us : outcome.intervals_us) {
    const int bucket = std::min(30, static_cast<int>(us * 1e4 / outcome.period_ns));
    largest = std::max(largest, ++buckets[bucket]);
  }
  for (const auto& [bucket, count] : buckets) {
    std::printf("    %s%4.1f periods %7lld %s\n", bucket == 30 ? ">" : " ", 0.1 * bucket,
                static_cast<long long>(count),
                std::string(static_cast<size_t>(1 + 40 * count / largest), '#').c_str());
  }
}

// Ends the program where a flag's number is none.
int NumberIn(const char* flag, const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= 1) return number;
  std::fprintf(stderr, "--%s: '%s' is not a number of 1 or more\n", flag, text.c_str());
  std::exit(2);
}

std::vector<Load> Loads() {
  std::vector<Load> loads;
  const nanoseconds cpu = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_time));
  for (const std::string& text : absl::GetFlag(FLAGS_threads)) {
    const int threads = NumberIn("threads", text);
    loads.push_back({absl::StrCat(threads, " busy"), threads, threads, cpu});
  }
  if (const int bursts = absl::GetFlag(FLAGS_bursts); bursts > 0) {
    loads.push_back({absl::StrCat(bursts, " bursts"), bursts, 4,
                     absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_burst))});
  }
  return loads;
}

void AddRow(const Load& load, int rate_hz, const Outcome& outcome, curg::internal::Table& table) {
  const double expected = static_cast<double>(outcome.used.count()) / outcome.period_ns;
  table.AddRow({load.name, absl::StrCat(rate_hz), absl::StrFormat("%.0f", expected),
                absl::StrCat(outcome.delivered + outcome.overruns), absl::StrCat(outcome.delivered),
                absl::StrCat(outcome.lost), absl::StrFormat("%.3f", outcome.credited),
                absl::StrFormat("%.2f..%.2f", outcome.least, outcome.most),
                At(outcome.intervals_us, 0.01), At(outcome.intervals_us, 0.5),
                At(outcome.intervals_us, 0.99)});
}

int TryEngine(const std::string& name, Times& times) {
  const std::optional<curg::CpuEngine> engine = curg::EngineNamed(name);
  if (!engine.has_value()) {
    std::fprintf(stderr, "no engine is named '%s'; --help lists them\n", name.c_str());
    return 2;
  }
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
  curg::internal::Table table({{"load", false},
                               {"Hz", true},
                               {"expected", true},
                               {"generated", true},
                               {"delivered", true},
                               {"lost", true},
                               {"credited", true},
                               {"by thread", true},
                               {"us p1", true},
                               {"p50", true},
                               {"p99", true}});
  for (const Load& load : Loads()) {
    for (const std::string& text : absl::GetFlag(FLAGS_rates)) {
      const int rate_hz = NumberIn("rates", text);
      const absl::StatusOr<Outcome> outcome = Measure(*engine, rate_hz, load, times);
      if (!outcome.ok()) {
        std::printf("  not available: %s\n\n", std::string(outcome.status().message()).c_str());
        return absl::IsInvalidArgument(outcome.status()) ? 2 : 0;
      }
      AddRow(load, rate_hz, *outcome, table);
      if (absl::GetFlag(FLAGS_histogram)) {
        std::printf("  %s at %d Hz: from signal to signal\n", load.name.c_str(), rate_hz);
        PrintHistogram(*outcome);
      }
    }
  }
  std::printf("%s\n", table.Render().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "Measures how well this kernel samples CPU time: for each engine, rate and load, the periods "
      "that\n"
      "were used (expected), those that signals stood for (generated: with overruns, which perf "
      "events\n"
      "do not tell), the signals that came (delivered), those that found no room (lost), the CPU "
      "time\n"
      "that the profile gives for what was used (credited; by thread: the least and the most), and "
      "the\n"
      "wall time from a thread's signal to its next. For hardware events, credited counts events.");
  static Times times;  // for ever, as taggers must live
  curg::internal::TheSampleTagger() = &times;
  int status = 0;
  for (const std::string& name : absl::GetFlag(FLAGS_engines)) {
    status = std::max(status, TryEngine(name, times));
  }
  return status;
}
