// SPDX-License-Identifier: Apache-2.0
//
// Pseudo frames: real, empty functions that stand in a stack for what is no code. Being real, they
// are found by every symbolizer, and their names show up in pprof's graphs.
//
// As a leaf a pseudo frame is its own address (PseudoLeaf); further up it is the address after its
// first byte (PseudoCaller), so that readers, who subtract one from return addresses, find it as
// well.
#pragma once

#include <cstdint>

namespace curg {

// The leaf, and only frame, of a sample taken in the few instructions of a task switch.
void TaskSwitch();

// The only frame of the entry that stands for samples a full prof buffer could not hold.
void LostSamples();

// The only frame of the entry that stands for samples a full prof map could not tell apart.
void OverflowBucket();

// The only frame of an entry that stands for CPU time that was counted, but that no sample fell
// into.
void NotSampled();

// The only frame of the entry that stands for CPU time of threads that were not sampled: they began
// and ended between two looks for new ones, or the kernel refused them.
void UnseenThreads();

// The root of a stack that was deeper than the profile's depth.
void TruncatedStack();

// The root of a stack whose frames could not be followed to their true root.
void BrokenStack();

// The root of a sample whose stack has unknown bounds, so that only the leaf was recorded.
void UnknownStack();

// As UnknownStack, on a thread the runtime does not know.
void ForeignThread();

// Between the first frame of a task and the frames it was spawned from, in profiles that show these
// (CpuProfileOptions::spawners).
void SpawnedBy();

namespace internal {

using PseudoFrame = void (*)();

// Async-signal-safe.
inline uintptr_t PseudoLeaf(PseudoFrame frame) { return reinterpret_cast<uintptr_t>(frame); }
inline uintptr_t PseudoCaller(PseudoFrame frame) { return PseudoLeaf(frame) + 1; }

}  // namespace internal
}  // namespace curg
