// SPDX-License-Identifier: Apache-2.0
#include "runtime/roll_call.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>

#include "runtime/traceback.h"

namespace curg::internal {
namespace {

constexpr size_t kFrames = 128;

// A reference on a tag, kept until the call ends.
struct PinnedTag {
  PinnedTag* next;
  const Tag* tag;
};

// Lists that workers push to and the caller takes whole: no pop of one, hence no ABA.
template <typename Node>
class PushList {
 public:
  void Push(Node* node) {
    node->next = head_.load(std::memory_order_relaxed);
    // release: pairs with TakeAll()
    while (!head_.compare_exchange_weak(node->next, node, std::memory_order_release,
                                        std::memory_order_relaxed)) {
    }
  }
  // acquire: pairs with Push()
  Node* TakeAll() { return head_.exchange(nullptr, std::memory_order_acquire); }

 private:
  std::atomic<Node*> head_{nullptr};
};

constinit PushList<RollAnswer> g_answers;
constinit PushList<PinnedTag> g_pins;
// Workers in the middle of an answer. seq_cst: counted before word_ is looked at again; Close() the
// other way round.
constinit std::atomic<uint32_t> g_answering{0};
constinit std::atomic<uint64_t> g_lost{0};

Traceback WalkSuspended(const Task& task, std::span<uintptr_t> pcs, TaskSighting* seen) {
  if (seen->state == TaskState::kBlocking) {
    seen->kind = SightingKind::kBlocking;
    return WalkStack(*task.blocking_at, task.context.stack(), pcs);
  }
  Registers registers;
  StackBounds stack;
  if (task.context.TrySaved(&registers, &stack)) return WalkStack(registers, stack, pcs);
  seen->kind = SightingKind::kNotStarted;
  pcs[0] = reinterpret_cast<uintptr_t>(task.body.step);
  return {.depth = 1};
}

}  // namespace

constinit std::atomic<uint32_t> RollCall::word_{0};
constinit std::atomic<uint32_t> RollCall::signallers_{0};

std::mutex& RollCall::StacksLock() {
  static std::mutex* const lock = new std::mutex;  // never destroyed: runtimes may outlive static
                                                   // objects
  return *lock;
}

// Keeps its frame small where nobody calls: this runs on a task's stack, perhaps near its end.
__attribute__((noinline)) void RollCall::AnswerFor(Task& task, TaskState state) {
  uint32_t word = word_.load(std::memory_order_relaxed);
  if ((word & kFenced) != 0) {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // what LightFence would have been
    word = word_.load(std::memory_order_relaxed);
  }
  if ((word & kOpen) == 0) return;
  const uint32_t epoch = word >> kEpochShift;
  // relaxed: only the claim itself orders anything
  if (task.roll.load(std::memory_order_relaxed) == epoch << 1) return;
  g_answering.fetch_add(1, std::memory_order_seq_cst);
  if (word_.load(std::memory_order_seq_cst) == word) AnswerCall(task, state, epoch);
  g_answering.fetch_sub(1, std::memory_order_release);  // release: pairs with Close()
}

void RollCall::AnswerCall(Task& task, TaskState state, uint32_t epoch) {
  if (Claim(task, epoch)) return Record(task, state);
  // The caller was first, and may be about to use the tag. Nobody else claims a suspended task.
  Pin(task.tag.load(std::memory_order_relaxed));           // relaxed: this worker has the task
  task.roll.store(epoch << 1, std::memory_order_relaxed);  // relaxed: once is enough
}

bool RollCall::ClaimByCaller(Task& task, uint32_t epoch) {
  uint32_t roll = task.roll.load(std::memory_order_relaxed);
  // acq_rel: what was read of the task was read before
  return roll >> 1 != epoch &&
         task.roll.compare_exchange_strong(roll, epoch << 1 | kByCaller, std::memory_order_acq_rel);
}

__attribute__((noinline)) void RollCall::KeepTag(const Tag* tag) {
  const uint32_t word = word_.load(std::memory_order_relaxed);
  if ((word & kFenced) != 0) std::atomic_thread_fence(std::memory_order_seq_cst);
  g_answering.fetch_add(1, std::memory_order_seq_cst);
  if ((word_.load(std::memory_order_seq_cst) & kOpen) != 0) Pin(tag);
  g_answering.fetch_sub(1, std::memory_order_release);  // release: pairs with Close()
}

void RollCall::Pin(const Tag* tag) {
  if (tag == nullptr) return;
  auto* const pin = static_cast<PinnedTag*>(std::malloc(sizeof(PinnedTag)));
  tag->Ref();  // without memory it is leaked
  if (pin == nullptr) return;
  pin->tag = tag;
  g_pins.Push(pin);
}

void RollCall::Record(const Task& task, TaskState state) {
  std::array<uintptr_t, kFrames> pcs;
  TaskSighting seen = TaskSighting::Of(task, SightingKind::kSuspended);
  seen.state = state;
  const Traceback walk = WalkSuspended(task, pcs, &seen);
  const size_t stack_bytes = walk.depth * sizeof(uintptr_t);
  const std::string_view own_name = task.name();
  void* const block = std::malloc(sizeof(RollAnswer) + stack_bytes + own_name.size());
  if (block == nullptr) {
    g_lost.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  auto* const stack = reinterpret_cast<uintptr_t*>(static_cast<char*>(block) + sizeof(RollAnswer));
  std::memcpy(stack, pcs.data(), stack_bytes);
  char* const name = reinterpret_cast<char*>(stack + walk.depth);
  own_name.copy(name, own_name.size());
  seen.stack = {stack, walk.depth};
  seen.stack_end = walk.end;
  seen.name = {name, own_name.size()};
  seen.tag = task.tag.load(std::memory_order_relaxed);  // relaxed: this worker has the task
  if (seen.tag != nullptr) seen.tag->Ref();
  g_answers.Push(::new (block) RollAnswer{.next = nullptr, .seen = seen});
}

uint32_t RollCall::Open() {
  static const bool fence = RegisterAsymmetricFence();
  const uint32_t epoch = (word_.load(std::memory_order_relaxed) >> kEpochShift) + 1;
  // Where there is no asymmetric fence the others must have been told to fence themselves before
  // they can miss anything: the first call waits out a moment, once for the process.
  if (!fence && (word_.load(std::memory_order_relaxed) & kFenced) == 0) {
    word_.fetch_or(kFenced, std::memory_order_seq_cst);
    timespec moment = {.tv_sec = 0, .tv_nsec = 10'000'000};
    nanosleep(&moment, nullptr);
  }
  const uint32_t fenced = fence ? 0 : kFenced;
  word_.store(epoch << kEpochShift | fenced | kOpen, std::memory_order_seq_cst);
  if (fence) HeavyFence();
  return epoch;
}

RollAnswer* RollCall::TakeAnswers() { return g_answers.TakeAll(); }

void RollCall::FreeAnswers(RollAnswer* answers) {
  for (RollAnswer* next; answers != nullptr; answers = next) {
    next = answers->next;
    if (answers->seen.tag != nullptr) answers->seen.tag->Unref();
    std::free(answers);
  }
}

void RollCall::Close() {
  word_.fetch_and(~kOpen, std::memory_order_seq_cst);
  // seq_cst: see g_answering. Pairs with the release in AnswerFor().
  while (g_answering.load(std::memory_order_seq_cst) != 0) sched_yield();
}

void RollCall::Unpin() {
  PinnedTag* pin = g_pins.TakeAll();
  for (PinnedTag* next; pin != nullptr; pin = next) {
    next = pin->next;
    pin->tag->Unref();
    std::free(pin);
  }
}

uint64_t RollCall::lost() { return g_lost.load(std::memory_order_relaxed); }

}  // namespace curg::internal
