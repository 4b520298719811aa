// SPDX-License-Identifier: Apache-2.0
//
// The SIGPROF handler. Chapter 2 of the life of a sample (profiler/README.md).
//
//   CPU timer or perf event --signal--> OnSigprof --> WhereAmI, WalkStack --> ProfBuf
//
// It takes no lock, allocates nothing, makes no system call (but one, gettid, at the first signal
// of a perf event on a thread that nobody called LearnThreadId on), and touches nothing of a thread
// but its own ThreadSampler. This file and all it calls are built without the thread sanitizer's
// instrumentation.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include "profiler/thread_sampler.h"

namespace curg::internal {

// What a SIGPROF that is not the profiler's is passed on to; nobody when both are null.
struct SigprofPrevious {
  void (*with_info)(int, siginfo_t*, void*) = nullptr;
  void (*plain)(int) = nullptr;
};

// The handler, as sigaction's sa_sigaction with SA_SIGINFO.
// Async-signal-safe.
void OnSigprof(int signal, siginfo_t* info, void* context);

// Sets what OnSigprof passes foreign signals on to.
// Thread-safe. One caller at a time.
void SetSigprofPrevious(SigprofPrevious previous);

// Signals of timers that were gone already, since the process started.
// Thread-safe.
int64_t StaleSigprofs();

// Learns the calling thread's id, so that its first perf_event signal need not ask for it.
// Async-signal-safe.
void LearnThreadId();

// True while this thread is in OnSigprof, except where it passes a foreign signal on.
// Async-signal-safe.
bool InSigprof();

// Writes one sample of the interrupted thread into `sampler`'s buffer, or counts it as lost.
// Async-signal-safe. Owner only: the handler, on the sampler's thread.
void RecordSample(ThreadSampler& sampler, const ucontext_t& context, int64_t periods);

}  // namespace curg::internal
