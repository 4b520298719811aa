// SPDX-License-Identifier: Apache-2.0
//
// Context: one suspended flow of control, and the switch between two of them. The only user of
// Boost.Context, and the only place where sanitizers are told of a change of stack.
#pragma once

#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>

#include "runtime/stack_bounds.h"

#if defined(__SANITIZE_ADDRESS__)
#define CURG_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CURG_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CURG_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CURG_TSAN 1
#endif
#endif

// For functions that begin on one stack and never return, or end on another: the sanitizer would
// lose count of its calls.
#ifdef CURG_TSAN
#define CURG_NO_TSAN __attribute__((no_sanitize("thread")))
#else
#define CURG_NO_TSAN
#endif

#ifdef CURG_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace curg::internal {

// Owner only: exactly one thread at a time may touch a Context; the hand-over between threads is
// ordered by whatever made the task runnable.
class Context {
 public:
  // Called on the new stack by the first switch to it, with that switch's `word`; never returns.
  using Entry = void (*)(void* word);

  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Makes this the calling thread's own flow, to be left and come back to. `stack` is the thread's.
  void AdoptThread(StackBounds stack);

  // Notes the stack of the flow to be started next. Not while there is one.
  void set_stack(StackBounds stack) { stack_ = stack; }

  // Makes this a new flow that will run kEntry on `stack`, starting `colour` bytes below its top.
  template <Entry kEntry>
  void Start(StackBounds stack, uintptr_t colour) {
    StartAt(stack, colour, &Begin<kEntry>);
  }

  // Forgets the flow: it will not be switched to again. Not while it is running.
  void Finish();

  // Leaves the running flow `from` for `to`, handing `word` over; returns when somebody switches
  // back to `from`, with the word of that switch.
  // `last` says that nobody will (lets sanitizers free what they keep for it).
  // Never inlined: the thread may be another one afterwards, and no address of a thread_local may
  // be kept across it.
  static void* Switch(Context& from, Context& to, void* word, bool last = false);

  // As Switch, for a flow that has nothing left to return to: to be called last, so that the
  // compiler makes a jump of it. Then such a flow leaves no return addresses behind in the
  // processor's predictor, and those of `to` are where they were when it left. Should somebody
  // switch back to `from` all the same, `again` is called there, with that switch's word, as an
  // entry is.
  static void Leave(Context& from, Context& to, void* word, bool last, Entry again);

  const StackBounds& stack() const { return stack_; }

  // Where its hot memory is, to be fetched ahead: a hint; null unless it is suspended, so also
  // before Start. Thread-safe.
  const void* hot() const { return saved_.load(std::memory_order_relaxed); }

  // The registers with which this flow goes on when it is switched to.
  // Requires: suspended. Async-signal-safe.
  Registers Saved() const;

  // As Saved and stack(), for others than the owner: nothing unless the flow is suspended. Others
  // may resume it meanwhile; what was read counts only if the caller knows afterwards that nobody
  // has.
  // Requires: its stack, whichever it was, stays mapped. Thread-safe.
  bool TrySaved(Registers* registers, StackBounds* stack) const;

  // Whether `pc` is in the few instructions in which the stack pointer moves from one stack to
  // another. Async-signal-safe.
  static bool IsSwitching(uintptr_t pc);

 private:
  friend struct DebugLayout;

  using Transfer = boost::context::detail::transfer_t;

  // What the one who leaves tells the one who arrives; on the stack of the one who leaves.
  struct Message {
    Context* from;
    void* word;
  };

  // The first function on a new stack. Its return address lies in Boost's make_fcontext, which is
  // where every walk of a task ends.
  template <Entry kEntry>
  CURG_NO_TSAN static void Begin(Transfer transfer) {
    const Message message = *static_cast<Message*>(transfer.data);
    // release: pairs with TrySaved()
    message.from->saved_.store(transfer.fctx, std::memory_order_release);
#ifdef CURG_ASAN
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    return kEntry(message.word);  // a jump: see Leave
  }

  void StartAt(StackBounds stack, uintptr_t colour, void (*begin)(Transfer transfer));
  static void* SwitchHere(Context& from, Context& to, void* word, bool last);

  // Boost's fcontext_t: the stack pointer below the saved registers. Not null exactly while the
  // flow is suspended: cleared before it goes on, set once all of it is saved (release, for
  // TrySaved()).
  std::atomic<void*> saved_{nullptr};
  StackBounds stack_;
#ifdef CURG_ASAN
  void* fake_stack_ = nullptr;
#endif
#ifdef CURG_TSAN
  static constexpr int kNotOurs = -1;  // a thread's own fiber
  void* fiber_ = nullptr;
  int fiber_uses_ = kNotOurs;  // by flows before this one
#endif
};

}  // namespace curg::internal
