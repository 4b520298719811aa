// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_table.h"

#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "runtime/loaded_modules.h"
#include "runtime/module_table.h"
#include "runtime/unwind_index.h"

namespace curg::internal {
namespace {

using Tables = std::vector<std::shared_ptr<const ModuleTable>>;

struct State {
  std::mutex mutex;
  // guarded by mutex, as are Publish and Collect
  LoaderGeneration generation;
  uint64_t refreshes = 0;
};

State& GetState() {
  static State* const state = new State;  // never freed: handlers may run until the process ends
  return *state;
}

std::shared_ptr<const ModuleTable> TableOf(const LoadedModule& module, const UnwindIndex* known) {
  if (known != nullptr) {
    for (const auto& table : known->tables()) {
      if (table->IsOf(module)) return table;
    }
  }
  return ModuleTable::Compile(module);
}

// False: the modules are those of `generation`, and `tables` is empty.
bool CollectTables(LoaderGeneration* generation, const UnwindIndex* known, Tables* tables) {
  bool exhausted = false;
  const bool changed = VisitLoadedModules(generation, [&](const LoadedModule& module) {
    // The loader calls this with its lock held: nothing may be thrown through it.
    try {
      if (auto table = TableOf(module, known)) tables->push_back(std::move(table));
    } catch (const std::bad_alloc&) {
      exhausted = true;
    }
  });
  if (exhausted) throw std::bad_alloc();
  return changed;
}

bool SameTables(const UnwindIndex* index, const Tables& tables) {
  if (index == nullptr || index->tables().size() != tables.size()) return false;
  for (const auto& table : tables) {
    if (index->Find(table->begin()) != table.get()) return false;
  }
  return true;
}

void Refresh(State& state) {
  UnwindIndexPublisher& publisher = ProcessUnwindIndex();
  LoaderGeneration generation = state.generation;
  Tables tables;
  if (CollectTables(&generation, publisher.current(), &tables) &&
      !SameTables(publisher.current(), tables)) {
    publisher.Publish(std::make_unique<UnwindIndex>(std::move(tables)));
    ++state.refreshes;
  }
  state.generation = generation;
  publisher.Collect();
}

}  // namespace

absl::Status RefreshUnwindTables() {
  State& state = GetState();
  std::lock_guard lock(state.mutex);
  try {
    Refresh(state);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for unwind tables");
  }
  return absl::OkStatus();
}

UnwindTableStats GetUnwindTableStats() {
  State& state = GetState();
  std::lock_guard lock(state.mutex);
  const UnwindIndexPublisher& publisher = ProcessUnwindIndex();
  UnwindTableStats stats{.retired = publisher.retired_count(), .refreshes = state.refreshes};
  if (publisher.current() == nullptr) return stats;
  for (const auto& table : publisher.current()->tables()) {
    ++stats.modules;
    stats.rows += table->row_count();
    stats.bytes += table->memory();
  }
  return stats;
}

}  // namespace curg::internal
