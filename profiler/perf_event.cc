// SPDX-License-Identifier: Apache-2.0
#include "profiler/perf_event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "profiler/cpu_timer.h"
#include "profiler/thread_sampler.h"
#include "runtime/other_thread.h"

namespace curg::internal {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

perf_event_attr AttributesOf(CpuEngine engine, int64_t period_ns) {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.disabled = 1;
  attr.exclude_hv = 1;
  attr.exclude_kernel = engine == CpuEngine::kPerf ? 0 : 1;
  attr.wakeup_events = 1;
  attr.type = PERF_TYPE_HARDWARE;
  switch (engine) {
    case CpuEngine::kCycles:
      attr.config = PERF_COUNT_HW_CPU_CYCLES;
      break;
    case CpuEngine::kInstructions:
      attr.config = PERF_COUNT_HW_INSTRUCTIONS;
      break;
    case CpuEngine::kCacheMisses:
      attr.config = PERF_COUNT_HW_CACHE_MISSES;
      break;
    default:
      attr.type = PERF_TYPE_SOFTWARE;
      attr.config = PERF_COUNT_SW_TASK_CLOCK;
      attr.sample_period = static_cast<uint64_t>(period_ns);
      return attr;
  }
  attr.freq = 1;
  attr.sample_freq = static_cast<uint64_t>(kNsPerSecond / period_ns);
  return attr;
}

std::string Paranoia() {
  std::string level;
  std::ifstream("/proc/sys/kernel/perf_event_paranoid") >> level;
  return level.empty() ? "unknown" : level;
}

absl::Status Refusal(CpuEngine engine, int error) {
  const std::string what =
      absl::StrCat("perf_event_open (", EngineName(engine), "): ", std::strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          what, " (kernel.perf_event_paranoid is ", Paranoia(), ", and ",
          engine == CpuEngine::kPerf ? "1" : "2",
          " or less, or CAP_PERFMON, is needed; a container's seccomp filter may also forbid it)"));
    case ENOSYS:
      return absl::UnimplementedError(
          absl::StrCat(what, " (the kernel has no perf events, or a seccomp filter hides them)"));
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
      return absl::UnavailableError(absl::StrCat(
          what, " (this machine has no such counter; most virtual machines have none)"));
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, " (each thread takes a file descriptor: raise ulimit -n)"));
    case ESRCH:
      return absl::NotFoundError(what);
    default:
      return absl::InternalError(what);
  }
}

class PerfEvent final : public SampleSource {
 public:
  PerfEvent(CpuEngine engine, pid_t tid, int fd)
      : engine_(engine), tid_(tid), fd_(fd), made_at_(ThreadCpuNs(tid).value_or(0)) {}

  // A forked child may hold the descriptor, too: closing it would not end the signals then. And the
  // program may have closed what it does not know, so that the number is somebody else's by now.
  ~PerfEvent() override {
    if (!IsOurs()) return;
    ioctl(fd_, PERF_EVENT_IOC_DISABLE, 0);
    close(fd_);
  }

  // Signals of this event to its thread, and to no other.
  bool Route() const {
    const f_owner_ex owner = {.type = F_OWNER_TID, .pid = tid_};
    return fcntl(fd_, F_SETOWN_EX, &owner) == 0 && fcntl(fd_, F_SETSIG, SIGPROF) == 0 &&
           fcntl(fd_, F_SETFL, O_ASYNC | O_NONBLOCK) == 0;
  }

  // The kernel knows one period only: the first expiry is a whole one.
  void Start(int64_t, int64_t period) override {
    uint64_t value = static_cast<uint64_t>(CountsTime(engine_) ? period : kNsPerSecond / period);
    ioctl(fd_, PERF_EVENT_IOC_PERIOD, &value);
    ioctl(fd_, PERF_EVENT_IOC_ENABLE, 0);
  }

  // Of time: the thread's own clock, by which everybody measures; the event's differs from it by
  // the time of interrupts, some thousandths. The event goes on telling it after the thread's end.
  std::optional<int64_t> Count() override {
    if (CountsTime(engine_)) {
      const std::optional<int64_t> cpu = ThreadCpuNs(tid_);
      if (cpu.has_value() && *cpu >= seen_cpu_) return (seen_cpu_ = *cpu) - made_at_;
    }
    return ReadEvent();
  }

  // Another thread that has the id by now uses CPU that the event does not see.
  bool ThreadGone() override {
    constexpr int64_t kBlur = 10'000'000;
    const std::optional<int64_t> cpu = ThreadCpuNs(tid_);
    if (!cpu.has_value() || *cpu < seen_cpu_) return true;
    if (!CountsTime(engine_)) return false;
    const int64_t event = ReadEvent().value_or(0);
    const int64_t unseen = (*cpu - looked_cpu_) - (event - looked_event_);
    const int64_t blur = kBlur + (event - looked_event_) / 20;
    looked_cpu_ = *cpu;
    looked_event_ = event;
    return unseen > blur;
  }

 private:
  std::optional<int64_t> ReadEvent() const {
    int64_t count = 0;
    if (read(fd_, &count, sizeof(count)) != sizeof(count)) return std::nullopt;
    return count;
  }

  bool IsOurs() const {
    f_owner_ex owner = {};
    return fcntl(fd_, F_GETSIG) == SIGPROF && fcntl(fd_, F_GETOWN_EX, &owner) == 0 &&
           owner.type == F_OWNER_TID;
  }

  const CpuEngine engine_;
  const pid_t tid_;
  const int fd_;
  const int64_t made_at_;
  int64_t seen_cpu_ = made_at_;    // by Count
  int64_t looked_cpu_ = made_at_;  // by ThreadGone
  int64_t looked_event_ = 0;
};

}  // namespace

bool CountsTime(CpuEngine engine) {
  return engine != CpuEngine::kCycles && engine != CpuEngine::kInstructions &&
         engine != CpuEngine::kCacheMisses;
}

absl::StatusOr<std::unique_ptr<SampleSource>> NewPerfEvent(CpuEngine engine, pid_t tid,
                                                           uint64_t ticket, int64_t period_ns,
                                                           int descriptors_max) {
  perf_event_attr attr = AttributesOf(engine, period_ns);
  const int fd =
      static_cast<int>(syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) return Refusal(engine, errno);
  if (fd >= descriptors_max) {
    close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("descriptors from ", descriptors_max, " on are left to the program"));
  }
  auto event = std::make_unique<PerfEvent>(engine, tid, fd);
  if (!event->Route()) {
    const int error = errno;
    close(fd);
    return error == ESRCH ? absl::NotFoundError("the thread has ended")
                          : absl::ErrnoToStatus(error, "fcntl of a perf event");
  }
  if (!descriptor_tickets.Set(fd, ticket)) {
    return absl::ResourceExhaustedError(absl::StrCat("descriptor ", fd, " is too high"));
  }
  return event;
}

}  // namespace curg::internal
