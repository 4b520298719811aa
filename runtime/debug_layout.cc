// SPDX-License-Identifier: Apache-2.0
//
// What a debugger needs to find tasks without debug information: where things are, by name, in one
// exported symbol. runtime/gdb/curg_gdb.py reads it.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/context.h"
#include "runtime/task.h"
#include "runtime/task_slab.h"
#include "runtime/wait_reason.h"

// Classes with private members have no standard layout; where their members are is still one
// number.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace curg::internal {
namespace {

constexpr size_t kReasonsMax = 64;

// Names, ended by a null.
const std::array<const char*, kReasonsMax + 1> g_wait_reasons = [] {
  std::array<const char*, kReasonsMax + 1> names = {};
  for (size_t i = 0; i < kReasonsMax; ++i) {
    const char* const name = WaitReasonName(static_cast<WaitReason>(i));
    if (std::string_view(name) == "unknown") break;
    names[i] = name;
  }
  return names;
}();

}  // namespace

struct DebugLayoutEntry {
  char name[24];
  uint64_t value;
};

// A friend of those whose private members it tells of.
struct DebugLayout {
  static constexpr std::array kEntries = {
      DebugLayoutEntry{"task.size", sizeof(Task)},
      DebugLayoutEntry{"task.saved", offsetof(Task, context) + offsetof(Context, saved_)},
      DebugLayoutEntry{"task.stack", offsetof(Task, context) + offsetof(Context, stack_)},
      DebugLayoutEntry{"task.state", offsetof(Task, state)},
      DebugLayoutEntry{"task.wait_reason", offsetof(Task, wait_reason)},
      DebugLayoutEntry{"task.wait_object", offsetof(Task, wait_object)},
      DebugLayoutEntry{"task.id", offsetof(Task, id)},
      DebugLayoutEntry{"task.spawner_id", offsetof(Task, spawner_id)},
      DebugLayoutEntry{"task.spawn_pc", offsetof(Task, spawn_pc)},
      DebugLayoutEntry{"task.annex", offsetof(Task, annex)},
      DebugLayoutEntry{"annex.name", offsetof(Task, body) + offsetof(TaskBody, storage) +
                                         offsetof(TaskExtra, name)},
      DebugLayoutEntry{"task.runtime_task", offsetof(Task, runtime_task)},
      DebugLayoutEntry{"state.delayed", static_cast<uint64_t>(TaskState::kDelayed)},
      DebugLayoutEntry{"state.runnable", static_cast<uint64_t>(TaskState::kRunnable)},
      DebugLayoutEntry{"state.running", static_cast<uint64_t>(TaskState::kRunning)},
      DebugLayoutEntry{"state.blocking", static_cast<uint64_t>(TaskState::kBlocking)},
      DebugLayoutEntry{"state.parked", static_cast<uint64_t>(TaskState::kParked)},
      DebugLayoutEntry{"slab.arenas", offsetof(TaskSlab, arenas_)},
      DebugLayoutEntry{"arena.made", offsetof(TaskSlab::Arena, made)},
      DebugLayoutEntry{"arena.chunks", offsetof(TaskSlab::Arena, chunks)},
      DebugLayoutEntry{"chunk.size", sizeof(TaskSlab::Chunk)},
      DebugLayoutEntry{"chunk.used", offsetof(TaskSlab::Chunk, used)},
      DebugLayoutEntry{"chunk.bytes", TaskSlab::kChunkBytes},
      // Boost.Context's saved registers, from the saved stack pointer on (context.cc).
      DebugLayoutEntry{"saved.r12", 0x10},
      DebugLayoutEntry{"saved.r13", 0x18},
      DebugLayoutEntry{"saved.r14", 0x20},
      DebugLayoutEntry{"saved.r15", 0x28},
      DebugLayoutEntry{"saved.rbx", 0x30},
      DebugLayoutEntry{"saved.rbp", 0x38},
      DebugLayoutEntry{"saved.rip", 0x40},
      DebugLayoutEntry{"saved.size", 0x48},
  };
};

}  // namespace curg::internal

struct CurgDebugLayout {
  char magic[8];
  const void* slab;                 // address of a pointer to the slab of task records
  const char* const* wait_reasons;  // their names, ended by a null
  uint64_t count;
  std::array<curg::internal::DebugLayoutEntry, curg::internal::DebugLayout::kEntries.size()>
      entries;
};

// Changes are additions; else the number in the magic word goes up. Not const: what is read-only
// after relocation, gdb leaves out of the cores it makes.
extern "C" {
[[gnu::used, gnu::retain,
  gnu::visibility("default")]] constinit CurgDebugLayout curg_debug_layout = {
    .magic = "curg 2",
    .slab = &curg::internal::g_slab_for_debuggers,
    .wait_reasons = curg::internal::g_wait_reasons.data(),
    .count = curg::internal::DebugLayout::kEntries.size(),
    .entries = curg::internal::DebugLayout::kEntries,
};
}  // extern "C"
