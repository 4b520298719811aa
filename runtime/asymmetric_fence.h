// SPDX-License-Identifier: Apache-2.0
//
// A full memory fence between two sides of which one is frequent and one is rare: the frequent side
// pays for a compiler barrier only, the rare side for a system call that makes every running thread
// of the process fence.
#pragma once

#include <atomic>

namespace curg::internal {

// Registers the process with the kernel (membarrier, Linux 4.14), once. False: the kernel refuses,
// and neither fence below orders anything.
// Thread-safe. Blocks: the thread, at the first call.
bool RegisterAsymmetricFence();

// The frequent side. Async-signal-safe.
inline void LightFence() { std::atomic_signal_fence(std::memory_order_seq_cst); }

// The rare side: some microseconds. What any thread did before its LightFence is visible
// afterwards, or that thread sees, after its LightFence, what the caller did before.
// Thread-safe. Blocks: the thread.
void HeavyFence();

}  // namespace curg::internal
