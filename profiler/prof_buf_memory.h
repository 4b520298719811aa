// SPDX-License-Identifier: Apache-2.0
//
// The memory of prof buffers. A ring has much address space, lest a writer that comes late loses
// anything, and begins anew at its front whenever it is empty: so most threads ever touch a page or
// two. What a backlog has touched beyond the front goes back to the kernel once it was read, so
// that many threads, each of which was once behind, keep little.
#pragma once

#include <cstddef>

#include "profiler/prof_buf.h"

namespace curg::internal {

// 250 stacks of 128 frames; that many milliseconds at 1 kHz.
inline constexpr size_t kProfBufBytes = 256 << 10;
// What a ring may keep when it is empty.
inline constexpr size_t kProfBufBytesKept = 32 << 10;

// An empty one of kProfBufBytes, in pages of its own; null where there is no memory.
// Thread-safe. Not async-signal-safe.
ProfBuf* NewProfBuf(size_t depth_max);

// Requires: it is NewProfBuf's. As NewProfBuf.
void DeleteProfBuf(ProfBuf* buffer);

// Gives those pages beyond kProfBufBytesKept back to the kernel that hold nothing but words which
// were read and not yet returned. Not async-signal-safe.
// Owner only: the buffer's reader. May run in parallel with its handler.
void GiveBackPages(ProfBuf& buffer);

}  // namespace curg::internal
