// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu_profiler.h"

#include <unistd.h>

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "profiler/prof_writer.h"
#include "runtime/service.h"

namespace curg {
namespace {

// Who has the one profile there can be. The lock is held for a few instructions, never across a
// wait.
struct Holder {
  std::mutex mutex;
  // guarded by mutex
  bool active = false;
  std::string name;
  absl::Time since;
  pid_t process = 0;  // that started the first profile
};

Holder& TheHolder() {
  static Holder* const holder = new Holder;
  return *holder;
}

absl::Status Claim(std::string name) {
  Holder& holder = TheHolder();
  const std::lock_guard lock(holder.mutex);
  if (holder.process == 0) holder.process = getpid();
  if (holder.process != getpid()) {
    return absl::FailedPreconditionError(
        "a forked child cannot be profiled: the profiler's threads did not come along; start the "
        "profile in a program of its own (exec)");
  }
  if (holder.active) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a CPU profile is running already: ", holder.name, " started it at ",
        absl::FormatTime(absl::RFC3339_sec, holder.since, absl::LocalTimeZone()), ", ",
        absl::FormatDuration(absl::Trunc(absl::Now() - holder.since, absl::Milliseconds(1))),
        " ago; stop that one first"));
  }
  holder.active = true;
  holder.name = std::move(name);
  holder.since = absl::Now();
  return absl::OkStatus();
}

void Release() {
  Holder& holder = TheHolder();
  const std::lock_guard lock(holder.mutex);
  holder.active = false;
}

bool InForkedChild() {
  Holder& holder = TheHolder();
  return holder.process != getpid();  // written once, before any session existed
}

absl::Status CheckRange(const char* name, int value, int max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, ", but must be between 1 and ", max));
}

absl::Status CheckOptions(const CpuProfileOptions& options) {
  absl::Status status = CheckRange("rate_hz", options.rate_hz, CpuProfileOptions::kRateHzMax);
  status.Update(CheckRange("depth_max", options.depth_max, CpuProfileOptions::kDepthMax));
  return status;
}

internal::ProfWriter::Options WriterOptions(const CpuProfileOptions& options) {
  return {.sampler = {.period_ns = 1'000'000'000 / options.rate_hz,
                      .depth_max = static_cast<size_t>(options.depth_max)},
          .map_bytes_max = options.map_bytes_max};
}

}  // namespace

// The writer and the service task that runs it. The service worker runs no user tasks, so that
// whatever those do, the profile starts, drains and stops.
class CpuProfileSession::Running {
 public:
  explicit Running(const CpuProfileOptions& options) : writer_(WriterOptions(options)) {}

  absl::Status Start() try {
    absl::Status status =
        internal::GoService("profile start", [this] { return writer_.Start(); }).Join();
    if (status.ok()) StartWriter();
    return status;
  } catch (const absl::BadStatusOrAccess& refused) {
    return refused.status();
  }

  CpuProfile Stop() {
    writer_.RequestStop();
    return task_.Join();
  }

 private:
  void StartWriter() try {
    task_ = internal::GoService("profile writer", [this] { return writer_.Run(); });
  } catch (...) {
    writer_.RequestStop();
    writer_.Run();  // no task for it: disarm the timers here
    throw;
  }

  internal::ProfWriter writer_;
  JoinHandle<CpuProfile> task_;
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
  profile = running->Stop();
  Release();
  return profile;
}

absl::StatusOr<CpuProfileSession> StartCpuProfile(const CpuProfileOptions& options,
                                                  CallSite caller) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const std::string name =
      options.holder.empty() ? absl::StrCat(caller.file, ":", caller.line) : options.holder;
  if (absl::Status status = Claim(name); !status.ok()) return status;

  auto running = std::make_unique<CpuProfileSession::Running>(options);
  if (absl::Status status = running->Start(); !status.ok()) {
    Release();
    return status;
  }
  return CpuProfileSession(std::move(running));
}

}  // namespace curg
