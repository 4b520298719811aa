// SPDX-License-Identifier: Apache-2.0
//
// Linked into a test, makes the kernel refuse membarrier from the beginning, as older ones and some
// sandboxes do.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "gtest/gtest.h"
#include "runtime/asymmetric_fence.h"

namespace curg::internal {
namespace {

const bool g_refused = [] {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {.len = 4, .filter = program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}();

TEST(WithoutMembarrier, TheKernelRefusesIt) {
  ASSERT_TRUE(g_refused);
  EXPECT_FALSE(RegisterAsymmetricFence());
}

}  // namespace
}  // namespace curg::internal
