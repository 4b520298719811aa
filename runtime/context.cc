// SPDX-License-Identifier: Apache-2.0
#include "runtime/context.h"

#include <array>
#include <cstring>
#include <utility>

#include "runtime/check.h"

#ifdef CURG_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef CURG_TSAN
#include <sanitizer/tsan_interface.h>

#include <mutex>
#include <vector>
#endif

namespace curg::internal {
namespace {

namespace fcontext = boost::context::detail;

// Boost 1.81's x86-64 jump_fcontext: where it keeps what it saves, relative to fcontext_t, and how
// long it is. From its source (jump_x86_64_sysv_elf_gas.S); CheckLayout verifies the end.
constexpr uintptr_t kSavedBx = 0x30;
constexpr uintptr_t kSavedBp = 0x38;
constexpr uintptr_t kSavedPc = 0x40;
constexpr uintptr_t kSavedSize = 0x48;
constexpr uintptr_t kJumpBytes = 0x6a;
constexpr unsigned char kJumpEnd[] = {0x41, 0xff, 0xe0};  // jmp *%r8

uintptr_t JumpAddress() { return reinterpret_cast<uintptr_t>(&fcontext::jump_fcontext); }

uintptr_t Load(const void* base, uintptr_t offset) {
  uintptr_t word;
  std::memcpy(&word, static_cast<const char*>(base) + offset, sizeof(word));
  return word;
}

// Found out once: the address of jump_fcontext, whose code is as described above.
const uintptr_t g_jump = [] {
  const void* end = reinterpret_cast<const void*>(JumpAddress() + kJumpBytes - sizeof(kJumpEnd));
  CURG_CHECK(std::memcmp(end, kJumpEnd, sizeof(kJumpEnd)) == 0,
             "this Boost.Context is not the supported one; link libboost-context 1.81");
  return JumpAddress();
}();

#ifdef CURG_TSAN
// Fibers of flows that have ended, for the next ones: the sanitizer takes half a millisecond to
// make one. A fiber that is used again must not grow, so nothing on a task's stack that never
// returns is instrumented (CURG_NO_TSAN); should something be, it is retired before that matters.
class FiberPool {
 public:
  struct Fiber {
    void* handle = nullptr;
    int uses = 0;
  };

  Fiber Take() {
    {
      std::lock_guard lock(lock_);
      if (!free_.empty()) {
        const Fiber fiber = free_.back();
        free_.pop_back();
        return fiber;
      }
    }
    return {.handle = __tsan_create_fiber(0)};
  }

  void Return(Fiber fiber) {
    if (++fiber.uses == kUsesMax) return __tsan_destroy_fiber(fiber.handle);
    std::lock_guard lock(lock_);
    free_.push_back(fiber);
  }

 private:
  static constexpr int kUsesMax = 1000;

  std::mutex lock_;
  std::vector<Fiber> free_;  // guarded by lock_
};

FiberPool& Fibers() {
  static FiberPool* const pool = new FiberPool;  // never destroyed: tasks may outlive static
                                                 // objects
  return *pool;
}
#endif

}  // namespace

// fcontext::jump_fcontext, entered by a jump instead of a call. It comes back by a jump, too: after
// a call, the processor's predictor of return addresses would hold one too many, and mispredict
// every return of the flow that goes on until it runs out (4 of them are half of what a switch
// costs). So calls and returns stay paired, and flows that were left by the same functions return
// as predicted.
// Requires: no red zone below the stack pointer, and a frame that is found without it
// (BUILD.bazel).
CURG_NO_TSAN inline __attribute__((always_inline)) fcontext::transfer_t Jump(void* to, void* data) {
#if defined(CURG_ASAN) || defined(CURG_TSAN) || !defined(__x86_64__)
  return fcontext::jump_fcontext(to, data);
#else
  fcontext::transfer_t transfer;
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp jump_fcontext@PLT\n"
      "1:"
      : "=&a"(transfer.fctx), "=&d"(transfer.data), "+D"(to), "+S"(data)
      :
      : "rcx", "r8", "r9", "r10", "r11", "cc", "memory", "mm0", "mm1", "mm2", "mm3", "mm4", "mm5",
        "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15");
  return transfer;
#endif
}

namespace {

// What make_fcontext puts at the top of a stack: the same for all flows but for the function. Made
// once and copied, as the floating-point environment is part of it: else a new task would have that
// of the task that happened to run here before, its rounding mode for example.
struct FirstFrame {
  FirstFrame() {
    alignas(16) std::array<char, 256> stack{};
    char* const top = stack.data() + stack.size();
    const auto* const frame =
        static_cast<const char*>(fcontext::make_fcontext(top, stack.size(), nullptr));
    CURG_CHECK(frame == top - bytes.size() && Load(frame, kSavedBx) == 0,
               "this Boost.Context is not the supported one; link libboost-context 1.81");
    std::memcpy(bytes.data(), frame, bytes.size());
  }

  static const FirstFrame& Instance() {
    static const FirstFrame frame;
    return frame;
  }

  std::array<char, kSavedSize> bytes;
};

}  // namespace

void Context::AdoptThread(StackBounds stack) {
  FirstFrame::Instance();
  stack_ = stack;
#ifdef CURG_TSAN
  fiber_ = __tsan_get_current_fiber();
#endif
}

void Context::StartAt(StackBounds stack, uintptr_t colour, void (*begin)(Transfer transfer)) {
  stack_ = stack;
  const FirstFrame& frame = FirstFrame::Instance();
  char* const saved = reinterpret_cast<char*>(stack.high - colour) - frame.bytes.size();
  std::memcpy(saved, frame.bytes.data(), frame.bytes.size());
  std::memcpy(saved + kSavedBx, &begin, sizeof(begin));
  saved_.store(saved, std::memory_order_release);  // release: pairs with TrySaved()
#ifdef CURG_TSAN
  const FiberPool::Fiber fiber = Fibers().Take();
  fiber_ = fiber.handle;
  fiber_uses_ = fiber.uses;
#endif
}

void Context::Finish() {
#ifdef CURG_ASAN
  // What died on this stack left its red zones behind; the next task starts on clean memory.
  ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(stack_.low), stack_.high - stack_.low);
  fake_stack_ = nullptr;
#endif
#ifdef CURG_TSAN
  if (fiber_uses_ >= 0) Fibers().Return({.handle = fiber_, .uses = fiber_uses_});
  fiber_ = nullptr;
  fiber_uses_ = kNotOurs;
#endif
  saved_.store(nullptr, std::memory_order_relaxed);
  stack_ = {};
}

// The body of Switch and Leave.
CURG_NO_TSAN inline __attribute__((always_inline)) void* Context::SwitchHere(Context& from,
                                                                             Context& to,
                                                                             void* word,
                                                                             bool last) {
  Message message = {.from = &from, .word = word};
#ifdef CURG_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_,
                                 reinterpret_cast<void*>(to.stack_.low),
                                 to.stack_.high - to.stack_.low);
#endif
#ifdef CURG_TSAN
  __tsan_switch_to_fiber(to.fiber_, 0);
#endif
  void* const saved = to.saved_.load(std::memory_order_relaxed);
  to.saved_.store(nullptr, std::memory_order_relaxed);  // relaxed: who looks late is turned away
                                                        // later (RollCall)
  fcontext::transfer_t transfer = Jump(saved, &message);
  // Back, perhaps on another thread: whoever came here tells where it can be found again.
  const Message arrived = *static_cast<Message*>(transfer.data);
  // release: pairs with TrySaved()
  arrived.from->saved_.store(transfer.fctx, std::memory_order_release);
#ifdef CURG_ASAN
  __sanitizer_finish_switch_fiber(std::exchange(from.fake_stack_, nullptr), nullptr, nullptr);
#endif
  (void)last;
  return arrived.word;
}

CURG_NO_TSAN __attribute__((noinline)) void* Context::Switch(Context& from, Context& to, void* word,
                                                             bool last) {
  return SwitchHere(from, to, word, last);
}

CURG_NO_TSAN __attribute__((noinline)) void Context::Leave(Context& from, Context& to, void* word,
                                                           bool last, Entry again) {
  again(SwitchHere(from, to, word, last));
  CURG_CHECK(false, "a flow leaves its stack for good by Leave, or by a last switch");
}

Registers Context::Saved() const {
  const void* saved = hot();
  return {.pc = Load(saved, kSavedPc),
          .sp = reinterpret_cast<uintptr_t>(saved) + kSavedSize,
          .bp = Load(saved, kSavedBp),
          .bx = Load(saved, kSavedBx)};
}

// The bounds may be read while the record is being used for another flow: half the old, half the
// new. Then they do not hold the saved stack pointer, or that has changed when looked at again.
CURG_NO_TSAN bool Context::TrySaved(Registers* registers, StackBounds* stack) const {
  constexpr uintptr_t kStackMax = uintptr_t{1} << 30;
  // acquire: pairs with the releases above
  const void* const saved = saved_.load(std::memory_order_acquire);
  *stack = stack_;
  std::atomic_thread_fence(std::memory_order_acquire);
  const uintptr_t sp = reinterpret_cast<uintptr_t>(saved) + kSavedSize;
  if (saved == nullptr || saved_.load(std::memory_order_relaxed) != saved) return false;
  if (!stack->Contains(sp - kSavedSize) || sp > stack->high || stack->high - stack->low > kStackMax)
    return false;
  *registers = {.pc = Load(saved, kSavedPc),
                .sp = sp,
                .bp = Load(saved, kSavedBp),
                .bx = Load(saved, kSavedBx)};
  return true;
}

// In signal handlers, where the sanitizer is not to be called.
CURG_NO_TSAN bool Context::IsSwitching(uintptr_t pc) { return pc - g_jump < kJumpBytes; }

}  // namespace curg::internal
