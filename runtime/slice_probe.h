// SPDX-License-Identifier: Apache-2.0
//
// SliceProbe: the stack of a task that another thread is executing, taken by that thread itself in
// a signal handler. One question at a time a probe; there is one for sysmon, and some for roll
// calls, which ask several threads at once.
//
//   asker (sysmon)                    handler, on the thread asked
//   own_ false -> true
//   question_, state_ = asked(n)
//   signal carrying n         -->     state_ asked(n) -> writing(n), or go away
//   ...                               answer_, state_ = done(n)
//   state_ == done(n): answer_        (the question may be gone: asked(n) -> idle(n) by the asker)
//   own_ = false
//
// Invariant  answer_ is written between writing(n) and done(n) by the one handler that made that
//            step, and read between done(n) and own_ = false by the one asker. A signal that comes
//            late finds another n, or another state, and does nothing.
//
// The signal is SIGURG, whose default action is to be ignored: one that comes late does no harm.
// SIGURGs from elsewhere go to the handler that the program had. SIGPROF is another matter
// altogether. Only threads that are executing are asked: a signal makes many sleeping system calls
// fail with EINTR, whatever SA_RESTART says.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/task_sighting.h"

namespace curg::internal {

// What the handler found.
struct SliceAnswer {
  bool in_task = false;  // in the slice, or the task, that was asked about; else nothing below
                         // counts
  // Name and stack lie in the two below; the tag has a reference, which is the asker's to give
  // back. An empty stack: the thread was on one that nobody knows.
  TaskSighting seen;
  std::array<char, 63> name = {};
  std::array<uintptr_t, 128> pcs = {};
};

class SliceProbe {
 public:
  // Sysmon's.
  static SliceProbe& Instance() { return At(0); }
  // Those of a roll call: from 1 to kProbes - 1, for whoever holds RollCall::StacksLock().
  static constexpr size_t kProbes = 33;
  static SliceProbe& At(size_t index);

  // Asks thread `tid` of this process for its stack, if *tick is still `expected_tick` when it
  // answers; `tick` must stay valid for ever or until Take or GiveUp. Returns the question's
  // number, 0 when another is under way or the kernel refuses, or *blocking is not 0: a thread in
  // Blocking is left alone. Thread-safe. Not async-signal-safe. Blocks: nothing.
  uint32_t Ask(pid_t tid, const std::atomic<uint32_t>* tick, uint32_t expected_tick,
               const std::atomic<uint64_t>* blocking);

  // Asks thread `tid` for its task's answer to the roll call `epoch`, if that has none yet. As Ask.
  uint32_t AskForRoll(pid_t tid, uint32_t epoch);

  // The answer to `question`, after which that is over; null as long as there is none. Valid until
  // Finish(). Owner only: the asker.
  const SliceAnswer* Poll(uint32_t question) const;

  // Ends a question that has its answer. Owner only: the asker.
  void Finish();

  // Ends a question that has none. False: the answer is just being written; poll again.
  // Owner only: the asker.
  bool GiveUp(uint32_t question);

 private:
  enum State : uint64_t { kIdle, kAsked, kWriting, kDone };

  static constexpr uint64_t Word(uint32_t question, State state) {
    return uint64_t{question} << 2 | state;
  }

  static void OnSignal(int signal, siginfo_t* info, void* context);
  bool Install();
  uint32_t Send(pid_t tid);
  bool IsAbout(Task& task) const;
  void Answer(uint32_t question, const ucontext_t& context);

  std::atomic<bool> own_{false};
  std::atomic<uint64_t> state_{0};
  uint32_t last_question_ = 0;                   // of the asker
  const std::atomic<uint32_t>* tick_ = nullptr;  // with expected_tick_: the question; or null,
                                                 // and
  uint32_t expected_tick_ = 0;
  uint32_t epoch_ = 0;  // the roll call
  SliceAnswer answer_;
};

}  // namespace curg::internal
