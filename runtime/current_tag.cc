// SPDX-License-Identifier: Apache-2.0
#include "runtime/current_tag.h"

#include "runtime/cpu_meter.h"
#include "runtime/roll_call.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg {
namespace {

// Gives a plain thread's tag back when the thread ends.
struct PlainTagOwner {
  ~PlainTagOwner() {
    internal::ThreadState& thread = internal::ThisThread();
    TagRef::Adopt(thread.plain_tag.exchange(nullptr, std::memory_order_relaxed));
  }
};

std::atomic<const Tag*>& CurrentSlot() {
  internal::ThreadState& thread = internal::ThisThread();
  // relaxed: see ThreadState
  internal::Task* task = thread.current.load(std::memory_order_relaxed);
  if (task != nullptr) return task->tag;
  static thread_local PlainTagOwner owner;
  asm volatile("" : : "r"(&owner));  // made at first use, for its destructor
  return thread.plain_tag;
}

// What the task has done so far was done under its old tag; what comes, under `tag`.
void EndSlice(const Tag* tag) {
  internal::ThreadState& thread = internal::ThisThread();
  internal::Task* const task = thread.current.load(std::memory_order_relaxed);
  if (task == nullptr || thread.meter == nullptr) return;
  thread.meter->Charge(*task, tag);
}

}  // namespace

TagRef CurrentTag() { return TagRef::Share(CurrentSlot().load(std::memory_order_relaxed)); }

TagRef ExchangeCurrentTag(TagRef tag) {
  std::atomic<const Tag*>& slot = CurrentSlot();
  if (internal::CpuMeter::On()) [[unlikely]]
    EndSlice(tag.get());
  // A plain load and store will do: only this thread writes, and a handler on it sees either value.
  // The old reference is the caller's to drop, after the new one is published.
  TagRef old = TagRef::Adopt(slot.load(std::memory_order_relaxed));
  const bool tagged = static_cast<bool>(tag);
  const bool of_task = internal::ThisThread().current.load(std::memory_order_relaxed) != nullptr;
  if (tagged) tag.get()->ShowRelease();
  slot.store(tag.release(), std::memory_order_release);  // release: shows RollCaller the tag
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (tagged && of_task) internal::CpuMeter::NoteTag();
  internal::RollCall::BeforeTagDrop(old.get());
  return old;
}

}  // namespace curg
