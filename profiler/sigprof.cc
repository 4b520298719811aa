// SPDX-License-Identifier: Apache-2.0
#include "profiler/sigprof.h"

#include <errno.h>
#include <sys/syscall.h>

#include <atomic>

#include "profiler/pseudo_frames.h"
#include "profiler/sample_tagger.h"
#include "runtime/current.h"
#include "runtime/traceback.h"

namespace curg::internal {
namespace {

// initial-exec: other models may allocate a thread's block at its first use, in the handler.
#define CURG_INITIAL_EXEC [[gnu::tls_model("initial-exec")]]

CURG_INITIAL_EXEC constinit thread_local bool in_sigprof = false;
CURG_INITIAL_EXEC constinit thread_local bool passing_on = false;
CURG_INITIAL_EXEC constinit thread_local pid_t thread_id = 0;  // 0: not known yet

std::atomic<int64_t> stale_signals{0};
std::atomic<void (*)(int, siginfo_t*, void*)> previous_with_info{nullptr};
std::atomic<void (*)(int)> previous_plain{nullptr};

// Somebody else's SIGPROF. A handler that was installed after ours and passes on to us, as we do to
// it, would go round for ever, hence the flag.
void PassOn(int signal, siginfo_t* info, void* context) {
  if (passing_on) return;
  passing_on = true;
  // acquire: pairs with the release in SetSigprofPrevious()
  if (const auto handler = previous_with_info.load(std::memory_order_acquire)) {
    handler(signal, info, context);
  } else if (const auto plain = previous_plain.load(std::memory_order_acquire)) {
    plain(signal);
  }
  passing_on = false;
}

// No function of the C library's: the list of what the handler calls stays short. Once for a
// thread, and never inlined, so that signal_path_test knows the handler's only system call.
__attribute__((noinline)) pid_t AskForThreadId() {
  long result = SYS_gettid;
  asm volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
  return static_cast<pid_t>(result);
}

pid_t ThreadId() {
  if (thread_id == 0) [[unlikely]]
    thread_id = AskForThreadId();
  return thread_id;
}

// What made the signal come, if it is ours.
struct Origin {
  uint64_t ticket = 0;  // 0: it is not
  int64_t periods = 1;
  bool by_descriptor = false;  // the ticket may be another thread's
};

[[gnu::hot]] Origin OriginOf(const siginfo_t& info) {
  if (info.si_code == SI_TIMER) {
    const uint64_t ticket = reinterpret_cast<uintptr_t>(info.si_value.sival_ptr);
    if (!ThreadSamplerTable::IsTicket(ticket)) return {};
    return {.ticket = ticket, .periods = 1 + int64_t{info.si_overrun}};
  }
  if (info.si_code >= POLL_IN && info.si_code <= POLL_HUP) {
    return {.ticket = descriptor_tickets.Get(info.si_fd), .by_descriptor = true};
  }
  return {};
}

[[gnu::hot]] void RecordIfArmed(const Origin& origin, const ucontext_t& context) {
  ThreadSampler* const sampler = thread_samplers.Find(origin.ticket);
  bool armed = false;
  if (sampler != nullptr) {
    // Both seq_cst: pair with Sampler's Disarm(); see the protocol in thread_sampler.h.
    sampler->handlers.fetch_add(1, std::memory_order_seq_cst);
    armed = sampler->armed_as.load(std::memory_order_seq_cst) == origin.ticket &&
            (!origin.by_descriptor || sampler->tid == ThreadId());
    if (armed) RecordSample(*sampler, context, origin.periods);
    sampler->handlers.fetch_sub(1,
                                std::memory_order_release);  // release: pairs with Disarm()'s load
  }
  if (!armed) stale_signals.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
}

struct Walk {
  size_t depth = 0;
  StackShape shape = StackShape::kLeafOnly;
};

StackShape ShapeOf(TracebackEnd end) {
  switch (end) {
    case TracebackEnd::kRoot:
      return StackShape::kWhole;
    case TracebackEnd::kTruncated:
      return StackShape::kTruncated;
    case TracebackEnd::kNoRow:
      return StackShape::kNoRow;
    case TracebackEnd::kBadFrame:
      break;
  }
  return StackShape::kBadFrame;
}

// A stack nobody of the runtime knows: the leaf, until the writer task has found its bounds.
Walk WalkUnknown(ThreadSampler& sampler, const Registers& registers, std::span<uintptr_t> pcs) {
  const StackBounds bounds = UnpackStack(sampler.stack.load(std::memory_order_relaxed));
  if (bounds.Contains(registers.sp)) {
    const Traceback traceback = sampler.rules->Walk(registers, bounds, pcs);
    return {traceback.depth, ShapeOf(traceback.end)};
  }
  sampler.unknown_sp.store(registers.sp, std::memory_order_relaxed);
  pcs[0] = registers.pc;
  return {1, StackShape::kLeafOnly};
}

// The task called into the system stack: that one's frames, then the task's own.
Walk WalkCalled(RuleCache& rules, const Where& where, const Registers& registers,
                std::span<uintptr_t> pcs) {
  const Traceback called = rules.Walk(registers, where.bounds, pcs);
  if (called.end != TracebackEnd::kRoot) return {called.depth, ShapeOf(called.end)};
  if (called.depth == pcs.size()) return {called.depth, StackShape::kTruncated};
  const Traceback own =
      rules.Walk(where.task_registers, where.task_bounds, pcs.subspan(called.depth));
  // The task's first frame is where it called from, no longer a leaf: its address is a return
  // address already, as of every caller.
  return {called.depth + own.depth, ShapeOf(own.end)};
}

[[gnu::hot]] Walk WalkWhere(ThreadSampler& sampler, const Where& where, const Registers& registers,
                            std::span<uintptr_t> pcs) {
  switch (where.stack) {
    case Where::Stack::kTask:
    case Where::Stack::kSystem: {
      if (where.bounds.empty()) break;
      const Traceback traceback = sampler.rules->Walk(registers, where.bounds, pcs);
      return {traceback.depth, ShapeOf(traceback.end)};
    }
    case Where::Stack::kCalled:
      return WalkCalled(*sampler.rules, where, registers, pcs);
    case Where::Stack::kSwitch:
      pcs[0] = PseudoLeaf(&TaskSwitch);
      return {1, StackShape::kSwitch};
    case Where::Stack::kOther:
      break;
  }
  return WalkUnknown(sampler, registers, pcs);
}

// The ring's next lines were last used a ring ago. They come while the stack is walked.
void PrefetchRing(std::span<uintptr_t> pcs) {
  constexpr size_t kLineWords = 8;
  constexpr size_t kUsualDepth = 24;
  const uintptr_t* const header = pcs.data() - ProfBuf::kHeaderWords;
  for (size_t i = 0; i < ProfBuf::kHeaderWords + kUsualDepth; i += kLineWords) {
    __builtin_prefetch(header + i, /*rw=*/1);
  }
}

SampleKind KindOf(const Where& where) {
  if (!where.known_thread) return SampleKind::kForeign;
  return where.task_id != 0 && !where.runtime_task ? SampleKind::kTask : SampleKind::kRuntime;
}

}  // namespace

[[gnu::hot]] void RecordSample(ThreadSampler& sampler, const ucontext_t& context, int64_t periods) {
  const Registers registers = RegistersOf(context);
  sampler.rules->Fetch(registers);
  const uint64_t now = SampleTime();  // any clock may be a system call on some machine; this never
                                      // is
  ProfBuf& buffer = *sampler.buffer;
  const std::span<uintptr_t> pcs = buffer.BeginWrite();
  if (pcs.empty()) {
    buffer.Lose(now, periods);
    return;
  }
  PrefetchRing(pcs);
  const Where where = WhereAmI(registers);
  const Walk walk = WalkWhere(sampler, where, registers, pcs);
  if (where.tag != nullptr) where.tag->Ref();  // room is secured: the reference will be given back
  buffer.CommitWrite({.kind = KindOf(where),
                      .shape = walk.shape,
                      .time = now,
                      .samples = 1,
                      .periods = periods,
                      .tag = where.tag,
                      .task_id = where.task_id,
                      .spawn = where.spawn},
                     walk.depth);
}

[[gnu::hot]] void OnSigprof(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (const Origin origin = OriginOf(*info); origin.ticket != 0) {
    in_sigprof = true;
    RecordIfArmed(origin, *static_cast<ucontext_t*>(context));
    in_sigprof = false;
  } else {
    PassOn(signal, info, context);
  }
  errno = saved_errno;
}

void SetSigprofPrevious(SigprofPrevious previous) {
  // release: pair with the acquires in PassOn()
  previous_with_info.store(previous.with_info, std::memory_order_release);
  previous_plain.store(previous.plain, std::memory_order_release);
}

int64_t StaleSigprofs() { return stale_signals.load(std::memory_order_relaxed); }

void LearnThreadId() { ThreadId(); }

bool InSigprof() { return in_sigprof; }

}  // namespace curg::internal
