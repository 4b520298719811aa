// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu_timer.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "profiler/sigprof.h"
#include "runtime/check.h"
#include "runtime/other_thread.h"

#ifndef __x86_64__
#error "The profiler's signal set-up knows x86-64 only."
#endif

// Where the kernel returns to from a handler. The bytes are those that debuggers and unwinders look
// for.
extern "C" void curg_sigreturn();
asm(R"(
    .pushsection .text
    .p2align 4
    .type curg_sigreturn, @function
    nop
curg_sigreturn:
    movq $15, %rax
    syscall
    .size curg_sigreturn, .-curg_sigreturn
    .popsection
)");

namespace curg::internal {
namespace {

// As the kernel lays it out; the C library's differs.
struct KernelSigaction {
  union {
    void (*with_info)(int, siginfo_t*, void*);
    void (*plain)(int);
  };
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

constexpr unsigned long kSaRestorer = 0x04000000;

int RtSigaction(const KernelSigaction* action, KernelSigaction* previous) {
  return static_cast<int>(
      syscall(SYS_rt_sigaction, SIGPROF, action, previous, sizeof(KernelSigaction::mask)));
}

// Makes the handler there was before ours the one that gets foreign signals.
void PassOnTo(const KernelSigaction& previous) {
  if (previous.plain == SIG_DFL || previous.plain == SIG_IGN) return;
  if ((previous.flags & SA_SIGINFO) != 0) {
    SetSigprofPrevious({.with_info = previous.with_info});
  } else {
    SetSigprofPrevious({.plain = previous.plain});
  }
}

timespec Timespec(int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000}; }

class CpuTimer final : public SampleSource {
 public:
  CpuTimer(pid_t tid, int timer)
      : tid_(tid), timer_(timer), made_at_(ThreadCpuNs(tid).value_or(0)) {}
  ~CpuTimer() override { syscall(SYS_timer_delete, timer_); }

  void Start(int64_t first, int64_t period) override {
    const itimerspec when = {.it_interval = Timespec(period), .it_value = Timespec(first)};
    // ESRCH: the thread has just ended, and will not need it.
    const bool started =
        syscall(SYS_timer_settime, timer_, 0, &when, nullptr) == 0 || errno == ESRCH;
    CURG_CHECK(started, "start timers with times above zero");
  }

  std::optional<int64_t> Count() override {
    const std::optional<int64_t> now = ThreadCpuNs(tid_);
    // Another thread may have the id by now.
    if (!now.has_value() || *now < made_at_) return std::nullopt;
    return *now - made_at_;
  }

  bool ThreadGone() override {
    itimerspec left = {};
    if (syscall(SYS_timer_gettime, timer_, &left) != 0) return true;
    // A live one has at least a nanosecond left.
    return left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0;
  }

 private:
  const pid_t tid_;
  const int timer_;  // the kernel's id
  const int64_t made_at_;
};

}  // namespace

int64_t ProcessCpuNs() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

absl::Status InstallSigprof() {
  KernelSigaction now = {};
  if (RtSigaction(nullptr, &now) != 0) return absl::ErrnoToStatus(errno, "rt_sigaction(SIGPROF)");
  if (now.with_info == &OnSigprof) return absl::OkStatus();

  PassOnTo(now);  // before ours is in place: a foreign signal must find where to go
  const KernelSigaction ours = {
      .with_info = &OnSigprof,
      .flags = static_cast<unsigned long>(SA_SIGINFO | SA_RESTART | SA_ONSTACK) | kSaRestorer,
      .restorer = &curg_sigreturn,
      .mask = 0};
  if (RtSigaction(&ours, nullptr) != 0) return absl::ErrnoToStatus(errno, "rt_sigaction(SIGPROF)");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SampleSource>> NewCpuTimer(pid_t tid, uint64_t ticket) {
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(ticket);
  event._sigev_un._tid = tid;
  int timer = -1;
  if (syscall(SYS_timer_create, ThreadCpuClock(tid), &event, &timer) == 0) {
    return std::make_unique<CpuTimer>(tid, timer);
  }
  const std::string what = absl::StrCat("timer_create: ", std::strerror(errno));
  if (errno == EAGAIN) {
    return absl::ResourceExhaustedError(absl::StrCat(
        what, " (timers count as pending signals: raise RLIMIT_SIGPENDING, ulimit -i)"));
  }
  if (errno == EINVAL || errno == ESRCH) return absl::NotFoundError(what);
  return absl::InternalError(what);
}

}  // namespace curg::internal
