// SPDX-License-Identifier: Apache-2.0
#include "runtime/signal_action.h"

#include <sys/syscall.h>
#include <unistd.h>

#ifndef __x86_64__
#error "The runtime's signal set-up knows x86-64 only."
#endif

// Where the kernel returns to from a handler. The bytes are those that debuggers and unwinders look
// for.
extern "C" void curg_runtime_sigreturn();
asm(R"(
    .pushsection .text
    .p2align 4
    .type curg_runtime_sigreturn, @function
    nop
curg_runtime_sigreturn:
    movq $15, %rax
    syscall
    .size curg_runtime_sigreturn, .-curg_runtime_sigreturn
    .popsection
)");

namespace curg::internal {
namespace {

constexpr unsigned long kSaRestorer = 0x04000000;

bool RtSigaction(int signal, const SignalAction* action, SignalAction* previous) {
  return syscall(SYS_rt_sigaction, signal, action, previous, sizeof(SignalAction::mask)) == 0;
}

void ChangeMask(int how, uint64_t mask) {
  syscall(SYS_rt_sigprocmask, how, &mask, nullptr, sizeof(mask));
}

void Call(const SignalAction& action, int signal, siginfo_t* info, void* context) {
  ChangeMask(SIG_BLOCK, action.mask);  // what it would find; undone when our handler returns
  if ((action.flags & SA_NODEFER) != 0) ChangeMask(SIG_UNBLOCK, uint64_t{1} << (signal - 1));
  if ((action.flags & SA_SIGINFO) != 0) {
    action.with_info(signal, info, context);
  } else {
    action.plain(signal);
  }
}

}  // namespace

bool InstallSignalHandler(int signal, SignalHandler handler, uint64_t mask,
                          SignalAction* previous) {
  if (!RtSigaction(signal, nullptr, previous)) return false;
  SignalAction ours;
  ours.with_info = handler;
  ours.flags = static_cast<unsigned long>(SA_SIGINFO | SA_RESTART | SA_ONSTACK) | kSaRestorer;
  ours.restorer = &curg_runtime_sigreturn;
  ours.mask = mask;
  return RtSigaction(signal, &ours, nullptr);
}

void PassSignalOn(const SignalAction& previous, int signal, siginfo_t* info, void* context) {
  const bool by_kernel = info->si_code > 0;
  if (previous.IsIgnore() && !by_kernel) return;
  if (!previous.IsDefault() && !previous.IsIgnore()) return Call(previous, signal, info, context);
  // A fault happens again as soon as the handler has returned, and then kills.
  RtSigaction(signal, &previous, nullptr);
  if (previous.IsIgnore()) return;  // the kernel does not let a fault be ignored
  if (!by_kernel) syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info);
}

}  // namespace curg::internal
