// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/unwind_comparison.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <span>
#include <vector>

#include "absl/strings/str_format.h"
#include "runtime/check.h"
#include "runtime/traceback.h"
#include "tests/runtime/mixed_work.h"
#include "tests/runtime/this_stack.h"

namespace curg::internal {
namespace {

constexpr size_t kDepthMax = 200;
constexpr itimerspec kSoon{{0, 0}, {0, 100'000}};

struct Work {
  const LibUnwind* reference = nullptr;
  const CodeRegions* regions = nullptr;
  StackBounds bounds;
  timer_t timer{};
  std::atomic<uint64_t> samples{0};
  UnwindComparison result;  // of the handler
};
Work* g_work = nullptr;

UnwindComparison::Difference DifferenceOf(std::span<const uintptr_t> ours,
                                          std::span<const uintptr_t> theirs) {
  const size_t common = std::min(ours.size(), theirs.size());
  if (!std::equal(ours.begin(), ours.begin() + common, theirs.begin())) {
    return UnwindComparison::kFrames;
  }
  return theirs.size() < ours.size() ? UnwindComparison::kTheirsShorter
                                     : UnwindComparison::kOursShorter;
}

void Compare(int, siginfo_t*, void* arg) {
  const int saved_errno = errno;
  const ucontext_t& context = *static_cast<ucontext_t*>(arg);
  Work& work = *g_work;
  uintptr_t ours[kDepthMax];
  uintptr_t theirs[kDepthMax];
  const Registers registers = RegistersOf(context);
  const Traceback walk = WalkStack(registers, work.bounds, ours);
  const size_t depth = work.reference->Walk(context, theirs);
  UnwindComparison::Region& region = work.result.regions[work.regions->Of(registers.pc)];
  ++region.samples;
  region.rooted += walk.end == TracebackEnd::kRoot ? 1 : 0;
  if (depth == walk.depth && std::equal(ours, ours + depth, theirs)) {
    ++region.agree;
  } else {
    ++region.differ[DifferenceOf({ours, walk.depth}, {theirs, depth})];
    region.example = registers.pc;
  }
  work.samples.fetch_add(1, std::memory_order_relaxed);  // relaxed: read on this very thread
  timer_settime(work.timer, 0, &kSoon, nullptr);
  errno = saved_errno;
}

// Interrupts this thread all the time. Each interrupt sets the time of the next: the work gets on
// between two of them, however slow the handler is.
class ScopedInterrupts {
 public:
  ScopedInterrupts() {
    const stack_t stack{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    struct sigaction action {};
    action.sa_sigaction = &Compare;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    const bool set = sigaltstack(&stack, nullptr) == 0 &&
                     sigaction(SIGALRM, &action, nullptr) == 0 &&
                     timer_create(CLOCK_MONOTONIC, &event, &g_work->timer) == 0 &&
                     timer_settime(g_work->timer, 0, &kSoon, nullptr) == 0;
    CURG_CHECK(set, "the kernel refuses a timer");
  }
  ~ScopedInterrupts() {
    timer_delete(g_work->timer);
    signal(SIGALRM, SIG_IGN);
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    sigaltstack(&none, nullptr);
  }

 private:
  std::vector<char> stack_ = std::vector<char>(256 * 1024);
};

constexpr const char* kDifferenceNames[UnwindComparison::kDifferences] = {
    "libunwind stops early", "the tables stop early", "another frame"};

}  // namespace

uint64_t UnwindComparison::DifferencesOutsideThrows() const {
  const Region& throws = regions[CodeRegions::kExceptions];
  return (samples - agree) - (throws.samples - throws.agree);
}

std::string UnwindComparison::Table() const {
  std::string table =
      absl::StrFormat("%d samples, %d agree, %d to the root\n", samples, agree, rooted);
  for (size_t i = 0; i < regions.size(); ++i) {
    const Region& region = regions[i];
    if (region.samples == 0) continue;
    absl::StrAppendFormat(&table, "%-10s %8d samples, %8d agree, %8d to the root\n",
                          CodeRegions::Name(i), region.samples, region.agree, region.rooted);
    for (int cause = 0; cause < kDifferences; ++cause) {
      if (region.differ[cause] == 0) continue;
      absl::StrAppendFormat(&table, "           %8d %s, the last at %s\n", region.differ[cause],
                            kDifferenceNames[cause], DescribeAddress(region.example));
    }
  }
  return table;
}

UnwindComparison CompareWithLibUnwind(const LibUnwind& reference, uint64_t samples) {
  MixedWork(1);  // whatever is done once in a process
  const CodeRegions regions;
  Work work;
  work.reference = &reference;
  work.regions = &regions;
  work.bounds = BoundsOfThisThread();
  g_work = &work;
  ucontext_t context;
  uintptr_t pcs[kDepthMax];
  getcontext(&context);
  reference.Walk(context, pcs);  // libunwind sets itself up
  {
    ScopedInterrupts interrupts;
    while (work.samples.load(std::memory_order_relaxed) < samples) MixedWork(30);
  }
  g_work = nullptr;
  UnwindComparison& result = work.result;
  for (const UnwindComparison::Region& region : result.regions) {
    result.samples += region.samples;
    result.rooted += region.rooted;
    result.agree += region.agree;
  }
  return result;
}

}  // namespace curg::internal
