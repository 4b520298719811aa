// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu_profiler.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iterator>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "profiler/prof_consumer.h"
#include "profiler/prof_writer.h"
#include "runtime/service.h"

namespace curg {
namespace {

// The process that profiled first. Its forked children have none of the profiler's threads.
std::atomic<pid_t> profiled_process{0};

bool InForkedChild() {
  pid_t process = 0;
  const pid_t self = getpid();
  // relaxed: one word
  return !profiled_process.compare_exchange_strong(process, self, std::memory_order_relaxed) &&
         process != self;
}

// Who profiles.
struct Holder {
  std::string name;
  absl::Time since;
};
struct Holders {
  std::mutex mutex;
  std::list<Holder> all;  // guarded by mutex, which is held for a few instructions
};

Holders& TheHolders() {
  static Holders* const holders = new Holders;
  return *holders;
}

absl::Status CheckRange(const char* name, int value, int min, int max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, ", but must be between ", min, " and ", max));
}

absl::Status CheckOptions(const CpuProfileOptions& options) {
  absl::Status status = CheckRange("rate_hz", options.rate_hz, 1, CpuProfileOptions::kRateHzMax);
  status.Update(CheckRange("depth_max", options.depth_max, 1, CpuProfileOptions::kDepthMax));
  status.Update(CheckRange("spawners", options.spawners, 0, CpuProfileOptions::kSpawnersMax));
  return status;
}

std::optional<internal::CpuMeter::Wish> WishFor(LabelTotals totals) {
  using Wish = internal::CpuMeter::Wish;
  switch (totals) {
    case LabelTotals::kExactIfCheap:
      return Wish::kTagsIfCheap;
    case LabelTotals::kExact:
      return Wish::kTags;
    case LabelTotals::kSampled:
      break;
  }
  return std::nullopt;
}

// The engine that was asked for, by the program or else by its environment.
absl::StatusOr<CpuEngine> EngineFor(CpuEngine asked) {
  const char* const name = std::getenv("CURG_CPU_ENGINE");  // NOLINT(concurrency-mt-unsafe)
  if (asked != CpuEngine::kAuto || name == nullptr || *name == '\0') return asked;
  if (const std::optional<CpuEngine> engine = EngineNamed(name)) return *engine;
  return absl::InvalidArgumentError(
      absl::StrCat("CURG_CPU_ENGINE is '", name,
                   "', which names no engine: posix-cpu-timer and perf-task-clock do"));
}

internal::ProfConsumer::Options ConsumerOptions(const CpuProfileOptions& options,
                                                CpuEngine engine) {
  return {.sampler = {.period_ns = 1'000'000'000 / options.rate_hz,
                      .depth_max = static_cast<size_t>(options.depth_max),
                      .engine = engine},
          .map_bytes_max = options.map_bytes_max,
          .filter = options.filter,
          .spawners = options.spawners,
          .task_ids = options.task_ids,
          .exact = WishFor(options.label_totals)};
}

}  // namespace

// One consumer of the process's sampler. Starting and stopping are done by the service worker,
// which runs no user tasks: so that whatever those do, the profile starts, drains and stops.
class CpuProfileSession::Running {
 public:
  Running(const CpuProfileOptions& options, CpuEngine engine, std::string name)
      : consumer_(ConsumerOptions(options, engine)) {
    Holders& holders = TheHolders();
    const std::lock_guard lock(holders.mutex);
    holders.all.push_back({std::move(name), absl::Now()});
    holder_ = std::prev(holders.all.end());
  }
  ~Running() {
    Holders& holders = TheHolders();
    const std::lock_guard lock(holders.mutex);
    holders.all.erase(holder_);
  }

  absl::Status Start() try {
    return internal::GoService("profile start", [this] { return Writer().Add(consumer_); }).Join();
  } catch (const absl::BadStatusOrAccess& refused) {
    return refused.status();
  }

  CpuProfile Stop() {
    JoinHandle<CpuProfile> task;
    try {
      task = internal::GoService("profile stop", [this] { return Writer().Remove(consumer_); });
    } catch (const absl::BadStatusOrAccess&) {
      return Writer().Remove(consumer_);  // no task for it: do it here
    }
    return task.Join();
  }

 private:
  static internal::ProfWriter& Writer() { return internal::ProfWriter::Get(); }

  internal::ProfConsumer consumer_;
  std::list<Holder>::iterator holder_;
};

CpuProfileSession::CpuProfileSession(std::unique_ptr<Running> running)
    : running_(std::move(running)) {}
CpuProfileSession::CpuProfileSession(CpuProfileSession&&) noexcept = default;

CpuProfileSession& CpuProfileSession::operator=(CpuProfileSession&& other) noexcept {
  if (this != &other) {
    if (running_ != nullptr) Stop();
    running_ = std::move(other.running_);
  }
  return *this;
}

CpuProfileSession::~CpuProfileSession() {
  if (running_ != nullptr) Stop();
}

CpuProfile CpuProfileSession::Stop() {
  CpuProfile profile;
  const std::unique_ptr<Running> running = std::move(running_);
  if (running == nullptr) {
    profile.quality.notes.push_back("This profile was stopped before; its samples went there.");
    return profile;
  }
  if (InForkedChild()) {
    profile.quality.notes.push_back("The profile is the parent's; this is a forked child.");
    return profile;
  }
  return running->Stop();
}

absl::StatusOr<CpuProfileSession> StartCpuProfile(const CpuProfileOptions& options,
                                                  CallSite caller) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const absl::StatusOr<CpuEngine> engine = EngineFor(options.engine);
  if (!engine.ok()) return engine.status();
  if (InForkedChild()) {
    return absl::FailedPreconditionError(
        "a forked child cannot be profiled: the profiler's threads did not come along; start the "
        "profile in a program of its own (exec)");
  }
  auto running = std::make_unique<CpuProfileSession::Running>(
      options, *engine,
      options.holder.empty() ? absl::StrCat(caller.file, ":", caller.line) : options.holder);
  if (absl::Status status = running->Start(); !status.ok()) return status;
  return CpuProfileSession(std::move(running));
}

std::vector<std::string> RunningCpuProfiles() {
  Holders& holders = TheHolders();
  const std::lock_guard lock(holders.mutex);
  std::vector<std::string> lines;
  for (const Holder& holder : holders.all) {
    lines.push_back(absl::StrCat(
        holder.name, " since ",
        absl::FormatTime(absl::RFC3339_sec, holder.since, absl::LocalTimeZone()), ", ",
        absl::FormatDuration(absl::Trunc(absl::Now() - holder.since, absl::Milliseconds(1)))));
  }
  return lines;
}

}  // namespace curg
