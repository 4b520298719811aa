// SPDX-License-Identifier: Apache-2.0
#include "profiler/pseudo_frames.h"

// Each body holds an assembler comment of its own: compilers and linkers fold functions whose code
// is the same into one address, and all pseudo frames would bear one name.
#define CURG_PSEUDO_FRAME(name) \
  [[gnu::noinline, gnu::used]] void name() { asm volatile("# " #name); }

namespace curg {

CURG_PSEUDO_FRAME(TaskSwitch)
CURG_PSEUDO_FRAME(LostSamples)
CURG_PSEUDO_FRAME(OverflowBucket)
CURG_PSEUDO_FRAME(NotSampled)
CURG_PSEUDO_FRAME(UnseenThreads)
CURG_PSEUDO_FRAME(TruncatedStack)
CURG_PSEUDO_FRAME(BrokenStack)
CURG_PSEUDO_FRAME(UnknownStack)
CURG_PSEUDO_FRAME(ForeignThread)
CURG_PSEUDO_FRAME(SpawnedBy)

}  // namespace curg
