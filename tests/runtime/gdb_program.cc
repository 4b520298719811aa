// SPDX-License-Identifier: Apache-2.0
//
// Has tasks for gdb_test.sh to find, and stops.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <chrono>

#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace {

[[gnu::noinline]] void WaitsForAValue(curg::Channel<int>& channel) {
  channel.Receive();
  asm volatile("");
}

[[gnu::noinline]] void CallsOneThatWaits(curg::Channel<int>& channel) {
  WaitsForAValue(channel);
  asm volatile("");
}

// Guard pages within a mapping (MADV_GUARD_INSTALL) make gdb 13 leave the whole mapping out of the cores that it
// writes; the kernel's own cores have no such trouble. So here the kernel seems not to know them.
void RefuseCheapGuards() {
  constexpr unsigned kGuardInstall = 102;
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kGuardInstall, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

[[gnu::noinline]] void StopsHere() {
  raise(SIGTRAP);
  asm volatile("");
}

}  // namespace

int main() {
  RefuseCheapGuards();
  return curg::Run({.workers = 2}, [] {
    curg::Channel<int> channel;
    auto reader = curg::Go({.name = "reader"}, [&] { CallsOneThatWaits(channel); });
    auto sleeper = curg::Go({.name = "a sleeper with a long name"}, [] { curg::SleepFor(std::chrono::hours(1)); });
    sleeper.Detach();
    curg::SleepFor(std::chrono::milliseconds(50));
    StopsHere();
    channel.Send(1);
    reader.Join();
    return 0;
  });
}
