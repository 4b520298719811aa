// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/mixed_work.h"

#include <dlfcn.h>
#include <time.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// As people write it by hand: the frame is known by r11 first, then by rbp, and pushed to in
// between; then a leaf whose frame is moved and restored twice.
extern "C" uint64_t curg_test_assembly(uint64_t (*call)(uint64_t), uint64_t word);
asm(R"(
    .pushsection .text
    .p2align 4
    .type curg_test_assembly, @function
curg_test_assembly:
    .cfi_startproc
    mov %rsp, %r11
    .cfi_def_cfa_register %r11
    and $-64, %rsp
    sub $128, %rsp
    mov %r11, 8(%rsp)
    mov %rsi, 16(%rsp)
    mov 8(%rsp), %r11
    mov %r11, %rsp
    .cfi_def_cfa_register %rsp
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register %rbp
    push %rsi
    pushfq
    popfq
    mov %rdi, %rax
    pop %rdi
    and $-16, %rsp
    call *%rax
    mov %rbp, %rsp
    pop %rbp
    .cfi_def_cfa %rsp, 8
    .cfi_restore %rbp
    sub $40, %rsp
    .cfi_adjust_cfa_offset 40
    mov %rbx, 32(%rsp)
    .cfi_rel_offset %rbx, 32
    mov %rax, %rbx
    mov 32(%rsp), %rbx
    .cfi_restore %rbx
    add $40, %rsp
    .cfi_adjust_cfa_offset -40
    ret
    .cfi_endproc
    .size curg_test_assembly, .-curg_test_assembly
    .popsection
)");

namespace curg::internal {
namespace {

uint32_t Next(uint32_t* state) { return *state = *state * 1664525 + 1013904223; }

int CompareInts(const void* left, const void* right) {
  return *static_cast<const int*>(left) - *static_cast<const int*>(right);
}

// A realigned frame whose caller passes arguments on the stack: the compiler keeps the old stack
// pointer in r10 through the prologue (CFA = r10), then in the frame.
__attribute__((noinline, optimize("O2", "no-omit-frame-pointer"))) uint64_t Realigned(
    int n, int, int, int, int, int, int on_stack, const char* format) {
  alignas(64) char text[128];
  char* extra = static_cast<char*>(__builtin_alloca(static_cast<size_t>(n % 64) + 16));
  std::snprintf(extra, 16, "%d", n);
  const int length = std::snprintf(text, sizeof(text), format, n, on_stack);
  return static_cast<uint64_t>(length + text[0] + extra[0]) +
         reinterpret_cast<uintptr_t>(text) % 64;
}

__attribute__((noinline, optimize("O2", "omit-frame-pointer"))) uint64_t WithoutFramePointer(
    int depth, uint64_t seed) {
  if (depth == 0) return std::strlen(std::to_string(seed).c_str());
  volatile uint64_t pad[3] = {seed, seed + 1, seed + 2};
  const uint64_t below = WithoutFramePointer(depth - 1, pad[1] * 7);
  return below + pad[0] + pad[2];
}

__attribute__((noinline)) void ThrowAt(int depth) {
  std::string held(40, 'x');  // a cleanup to run on the way
  if (depth == 0) throw std::runtime_error(held);
  ThrowAt(depth - 1);
}

}  // namespace

uint64_t SortWork(int rounds) {
  uint32_t state = 1;
  std::vector<int> values(64);
  for (int i = 0; i < rounds; ++i) {
    for (int& value : values) value = static_cast<int>(Next(&state) >> 8);
    std::qsort(values.data(), values.size() / 2, sizeof(int), &CompareInts);
    std::sort(values.begin(), values.end());
  }
  return static_cast<uint64_t>(values[0]);
}

uint64_t PrintWork(int rounds) {
  uint64_t sum = 0;
  char text[128];
  for (int i = 0; i < rounds; ++i) {
    sum += static_cast<uint64_t>(
        std::snprintf(text, sizeof(text), "%d %s %.3f %#lx", i, "text", i * 1.7, sum));
  }
  return sum;
}

uint64_t RegexWork(int rounds) {
  static const std::regex pattern("([a-z]+)=([0-9]*)(;|$)");
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    std::smatch match;
    const std::string text = "  key=" + std::to_string(i) + ";other";
    sum += std::regex_search(text, match, pattern) ? match[2].length() : 0;
  }
  return sum;
}

uint64_t StreamWork(int rounds) {
  std::ostringstream out;
  for (int i = 0; i < rounds; ++i) out << "value " << i << ' ' << i * 0.25 << '\n';
  return out.str().size();
}

uint64_t CopyWork(int rounds) {
  std::vector<char> from(3000, 'a');
  std::vector<char> to(3000);
  for (int i = 0; i < rounds; ++i) {
    const size_t size = static_cast<size_t>(i * 37 % 3000);
    std::memcpy(to.data(), from.data(), size);
    std::memmove(to.data() + 1, to.data(), size / 2);
    std::memset(from.data(), i, size / 3);
  }
  return static_cast<uint64_t>(to[0]) + (std::memchr(to.data(), 'b', to.size()) != nullptr);
}

uint64_t AllocateWork(int rounds) {
  std::vector<void*> blocks;
  for (int i = 0; i < rounds; ++i) {
    blocks.push_back(std::malloc(static_cast<size_t>(i * 61 % 2000 + 1)));
    if (i % 3 == 0) {
      std::free(blocks.back());
      blocks.pop_back();
    }
  }
  for (void* block : blocks) std::free(block);
  return blocks.size();
}

uint64_t MathWork(int rounds) {
  volatile double value = 0.5;
  for (int i = 0; i < rounds; ++i)
    value = std::sin(value) + std::pow(1.01, value) + std::log(2 + i);
  return static_cast<uint64_t>(value);
}

uint64_t ClockWork(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sum += static_cast<uint64_t>(now.tv_nsec);
  }
  return sum;
}

uint64_t RealignedWork(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) sum += Realigned(i, 1, 2, 3, 4, 5, 6, "%d and %d");
  return sum;
}

uint64_t RecursiveWork(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) sum += WithoutFramePointer(12, static_cast<uint64_t>(i));
  return sum;
}

uint64_t ExceptionWork(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    try {
      ThrowAt(5);
    } catch (const std::exception& error) {
      sum += std::strlen(error.what());
    }
  }
  return sum;
}

uint64_t ZlibWork(int rounds) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "line " + std::to_string(i * i) + " of a text\n";
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    std::vector<Bytef> small(compressBound(text.size()));
    std::vector<Bytef> large(text.size());
    uLongf small_size = small.size();
    uLongf large_size = large.size();
    const auto* bytes = reinterpret_cast<const Bytef*>(text.data());
    compress2(small.data(), &small_size, bytes, text.size(), 1 + i % 9);
    uncompress(large.data(), &large_size, small.data(), small_size);
    sum += small_size + crc32(0, large.data(), static_cast<uInt>(large_size));
  }
  return sum;
}

uint64_t CryptoWork(int rounds) {
  using Digest = unsigned char* (*)(const unsigned char*, size_t, unsigned char*);
  static void* const library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  static const Digest digests[] = {reinterpret_cast<Digest>(dlsym(library, "SHA1")),
                                   reinterpret_cast<Digest>(dlsym(library, "SHA256")),
                                   reinterpret_cast<Digest>(dlsym(library, "SHA512"))};
  unsigned char text[300] = {1};
  unsigned char digest[64] = {};
  for (int i = 0; i < rounds; ++i) digests[i % 3](text, static_cast<size_t>(i % 300), digest);
  return digest[0];
}

uint64_t AssemblyWork(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    sum += curg_test_assembly([](uint64_t word) -> uint64_t { return std::to_string(word).size(); },
                              static_cast<uint64_t>(i));
  }
  return sum;
}

uint64_t MixedWork(int rounds) {
  return SortWork(rounds) + PrintWork(rounds) + RegexWork(rounds) + StreamWork(rounds) +
         CopyWork(rounds) + AllocateWork(rounds) + MathWork(rounds) + ClockWork(rounds) +
         RealignedWork(rounds) + RecursiveWork(rounds) + ExceptionWork(rounds) +
         ZlibWork((rounds + 9) / 10) + CryptoWork(rounds) + AssemblyWork(rounds);
}

}  // namespace curg::internal
