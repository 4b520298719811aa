// SPDX-License-Identifier: Apache-2.0
//
// The tag of whoever is running: how labels/ reads and changes it.
#pragma once

#include "runtime/tag.h"

namespace curg {

// The current task's tag; a plain thread has one too (none at first).
// Thread-safe: each caller sees its own.
TagRef CurrentTag();

// Makes `tag` the current task's (or plain thread's) and returns the one before. A signal handler
// on this thread sees the old one or the new one at every instruction, each of them alive.
TagRef ExchangeCurrentTag(TagRef tag);

}  // namespace curg
