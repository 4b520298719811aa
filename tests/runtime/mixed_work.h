// SPDX-License-Identifier: Apache-2.0
//
// Work that leads through all the kinds of code a walk meets: the program's own with and without
// frame pointers, realigned stacks, PLT stubs, libc, libm, libstdc++, the vdso, exceptions.
#pragma once

#include <cstdint>

namespace curg::internal {

// One kind of work at a time, so that tests can leave one out.
uint64_t SortWork(int rounds);
uint64_t PrintWork(int rounds);
uint64_t RegexWork(int rounds);
uint64_t StreamWork(int rounds);
uint64_t CopyWork(int rounds);
uint64_t AllocateWork(int rounds);
uint64_t MathWork(int rounds);
uint64_t ClockWork(int rounds);
uint64_t RealignedWork(int rounds);
uint64_t RecursiveWork(int rounds);
// Throws and catches.
uint64_t ExceptionWork(int rounds);
// zlib: a compression and its inverse a round.
uint64_t ZlibWork(int rounds);
// OpenSSL's digests, much of which is assembly; nothing where it is not installed.
uint64_t CryptoWork(int rounds);
// Assembly by hand, with frames that no compiler makes.
uint64_t AssemblyWork(int rounds);

// All of the above. The result means nothing, except that it depends on all that was done.
uint64_t MixedWork(int rounds);

}  // namespace curg::internal
