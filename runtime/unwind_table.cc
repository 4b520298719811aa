// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_table.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
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

std::shared_ptr<const ModuleTable> KnownTableOf(const LoadedModule& module,
                                                const UnwindIndex* known) {
  if (known == nullptr) return nullptr;
  const Tables& tables = known->tables();
  const auto it =
      std::lower_bound(tables.begin(), tables.end(), module.text.front().begin,
                       [](const auto& table, uintptr_t begin) { return table->begin() < begin; });
  return it != tables.end() && (*it)->IsOf(module) ? *it : nullptr;
}

// The tables of modules that never go, compiled by some threads at once: most of the work when it
// is first done.
class ParallelCompilation {
 public:
  explicit ParallelCompilation(std::vector<LoadedModule> modules)
      : modules_(std::move(modules)), tables_(modules_.size()) {}

  // Throws std::bad_alloc.
  Tables Run() {
    // The largest first: they are what is waited for.
    std::sort(modules_.begin(), modules_.end(), [](const LoadedModule& a, const LoadedModule& b) {
      return TextSize(a) > TextSize(b);
    });
    std::vector<std::thread> helpers;
    for (size_t i = 0; i < Helpers(); ++i) {
      try {
        helpers.emplace_back([this] { CompileSome(); });
      } catch (const std::system_error&) {
        break;  // alone, then
      }
    }
    CompileSome();
    for (std::thread& helper : helpers) helper.join();
    if (exhausted_.load()) throw std::bad_alloc();
    std::erase(tables_, nullptr);
    return std::move(tables_);
  }

 private:
  static size_t TextSize(const LoadedModule& module) {
    return module.text.back().end - module.text.front().begin;
  }

  // None for what takes less than a thread.
  size_t Helpers() const {
    constexpr size_t kHelpersMax = 3;
    constexpr size_t kWorthIt = 1 << 20;
    size_t text = 0;
    for (const LoadedModule& module : modules_) text += TextSize(module);
    if (text < kWorthIt) return 0;
    return std::min<size_t>(std::max(std::thread::hardware_concurrency(), 1u) - 1, kHelpersMax);
  }

  void CompileSome() {
    // relaxed: each gets a number of its own; joining shows the rest
    for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < modules_.size();) {
      try {
        tables_[i] = ModuleTable::Compile(modules_[i]);
      } catch (const std::bad_alloc&) {
        exhausted_.store(true);
      }
    }
  }

  std::vector<LoadedModule> modules_;
  Tables tables_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> exhausted_{false};
};

// False: the modules are those of `generation`, and `tables` is empty.
bool CollectTables(LoaderGeneration* generation, const UnwindIndex* known, Tables* tables) {
  bool exhausted = false;
  std::vector<LoadedModule> permanent;
  const bool changed = VisitLoadedModules(generation, [&](const LoadedModule& module) {
    // The loader calls this with its lock held: nothing may be thrown through it. Without the lock,
    // any module but the permanent ones might go.
    try {
      if (auto table = KnownTableOf(module, known)) {
        tables->push_back(std::move(table));
      } else if (module.permanent) {
        permanent.push_back(module);
      } else if (auto compiled = ModuleTable::Compile(module)) {
        tables->push_back(std::move(compiled));
      }
    } catch (const std::bad_alloc&) {
      exhausted = true;
    }
  });
  if (exhausted) throw std::bad_alloc();
  for (auto& table : ParallelCompilation(std::move(permanent)).Run()) {
    tables->push_back(std::move(table));
  }
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
