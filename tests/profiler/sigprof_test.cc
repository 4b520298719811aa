// SPDX-License-Identifier: Apache-2.0
//
// What a signal handler must not do: allocate, or use more stack than it is allowed. The program's
// allocator is replaced by one that refuses to work inside the handler.
#include "profiler/sigprof.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "runtime/unwind_table.h"

// ---- The trap.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CURG_ALLOC_TRAP \
  0  // the sanitizers' own allocators are in the way; the load runs all the same
#else
#define CURG_ALLOC_TRAP 1
#endif

namespace {
std::atomic<int64_t> allocations{0};
}

#if CURG_ALLOC_TRAP
namespace {
void Trap() {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (!curg::internal::InSigprof()) return;
  constexpr char kMessage[] = "the SIGPROF handler allocates or frees memory\n";
  (void)!write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  __builtin_trap();
}
}  // namespace

extern "C" {
void* __libc_malloc(size_t size);
void __libc_free(void* pointer);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* pointer, size_t size);

void* malloc(size_t size) {
  Trap();
  return __libc_malloc(size);
}
void free(void* pointer) {
  Trap();
  __libc_free(pointer);
}
void* calloc(size_t count, size_t size) {
  Trap();
  return __libc_calloc(count, size);
}
void* realloc(void* pointer, size_t size) {
  Trap();
  return __libc_realloc(pointer, size);
}
}
#endif

namespace curg::internal {
namespace {

using std::chrono::milliseconds;

// Allocates, formats, switches tasks and changes labels all the time.
void Churn(std::chrono::nanoseconds duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  std::map<int, std::string> numbers;
  for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
    const ScopedLabels label({{"round", std::to_string(i % 10)}});
    numbers[i % 500] = std::to_string(i) + std::string(40, 'x');
    if (i % 16 == 0) Yield();
    if (i % 64 == 0) Go([] { return std::vector<int>(100); }).Join();
  }
}

TEST(SigprofAllocation, NeverHappens) {
  const int64_t before = allocations.load();
  CpuProfile profile;
  for (milliseconds time(800); time <= milliseconds(6400); time *= 2) {
    profile = curg::Run({.workers = 2}, [time] {
      CpuProfileSession session = StartCpuProfile({.rate_hz = 10'000}).value();
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < 8; ++i) tasks.push_back(Go([time] { Churn(time); }));
      for (JoinHandle<void>& task : tasks) task.Join();
      return session.Stop();
    });
    if (profile.quality.samples > 50) break;
  }
  EXPECT_TRUE(!CURG_ALLOC_TRAP || allocations.load() - before > 1000);  // the trap was in place
  EXPECT_GT(profile.quality.samples, 50);
}

// ---- The stack.

ThreadSampler* sampler_under_test = nullptr;
std::atomic<bool> record{false};

void RecordFromSignal(int, siginfo_t*, void* context) {
  if (record) RecordSample(*sampler_under_test, *static_cast<ucontext_t*>(context), 1);
}

// Bytes of the alternate stack that were written when SIGUSR1 was handled there, 100 frames deep.
size_t StackUsed(std::byte* stack, size_t size, int depth) {
  if (depth > 0) {
    const size_t used = StackUsed(stack, size, depth - 1);
    asm volatile("" ::: "memory");
    return used;
  }
  std::memset(stack, 0x5a, size);
  raise(SIGUSR1);
  size_t untouched = 0;
  while (untouched < size && stack[untouched] == std::byte{0x5a}) ++untouched;
  return size - untouched;
}

TEST(SigprofStack, IsBounded) {
  if (!CURG_ALLOC_TRAP)
    GTEST_SKIP() << "sanitizers pad frames and put handlers of their own in front";
  ASSERT_TRUE(RefreshUnwindTables().ok());
  constexpr size_t kSize = 256 << 10;
  const std::unique_ptr<std::byte[]> stack(new std::byte[kSize]);
  const stack_t signal_stack = {.ss_sp = stack.get(), .ss_flags = 0, .ss_size = kSize};
  stack_t old_stack = {};
  ASSERT_EQ(sigaltstack(&signal_stack, &old_stack), 0);
  struct sigaction action = {};
  struct sigaction old_action = {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_sigaction = &RecordFromSignal;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old_action), 0);

  std::vector<uint64_t> words(4096);
  ProfBuf buffer(words, 128);
  ThreadSampler sampler;
  sampler.buffer = &buffer;
  RuleCache rules;
  sampler.rules = &rules;
  sampler.stack.store(
      PackStack({reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - (64 << 10),
                 reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) + 4096}));
  sampler_under_test = &sampler;

  record = false;
  const size_t frame = StackUsed(stack.get(), kSize, 100);
  record = true;
  StackUsed(stack.get(), kSize, 100);  // binds what is bound at the first call
  const size_t total = StackUsed(stack.get(), kSize, 100);
  sigaction(SIGUSR1, &old_action, nullptr);
  sigaltstack(&old_stack, nullptr);

  ProfHeader header;
  std::span<const uintptr_t> pcs;
  ASSERT_TRUE(buffer.Read(header, pcs));
  EXPECT_GT(pcs.size(), 90u);  // it did walk
  ASSERT_GT(total, frame);
  std::printf("signal frame %zu bytes, handler %zu bytes\n", frame, total - frame);
  EXPECT_LT(total - frame, 6u << 10);
}

}  // namespace
}  // namespace curg::internal
