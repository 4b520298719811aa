// SPDX-License-Identifier: Apache-2.0
#include "profiler/task_profiler.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/clock.h"
#include "profiler/mappings.h"
#include "runtime/coarse_clock.h"
#include "runtime/go.h"
#include "runtime/roll_caller.h"
#include "runtime/service.h"
#include "runtime/spawn_stack.h"
#include "runtime/sync/channel_ends.h"
#include "runtime/sync/mutex.h"
#include "runtime/timers.h"

namespace curg {
namespace {

using internal::SightingKind;
using internal::TaskSighting;
using internal::TaskState;
using internal::WaitReason;

TaskStatus StatusOf(const TaskSighting& seen) {
  switch (seen.kind) {
    case SightingKind::kNotStarted:
      return TaskStatus::kNotStarted;
    case SightingKind::kBlocking:
      return TaskStatus::kBlocking;
    case SightingKind::kInSystemCall:
      return TaskStatus::kInSystemCall;
    case SightingKind::kUnreached:
      return TaskStatus::kUnreached;
    case SightingKind::kRunning:
      return TaskStatus::kRunning;
    case SightingKind::kSuspended:
      break;
  }
  return seen.state == TaskState::kParked ? TaskStatus::kParked : TaskStatus::kRunnable;
}

// Takes sightings one by one and adds them up.
class Collector {
 public:
  explicit Collector(const TaskProfileOptions& options)
      : options_(options), now_(internal::MonotonicNow()) {
    profile_.tags.emplace_back();
    profile_.names.emplace_back();
    profile_.spawn_stacks.Add({});
    passes_.push_back(options.tag == nullptr || options.tag(nullptr));
  }

  void Take(const TaskSighting& seen) {
    ++profile_.total;
    const TaskStatus status = StatusOf(seen);
    const std::chrono::nanoseconds age(internal::CoarseClock::Age(seen.since, now_));
    if (options_.status && *options_.status != status) return;
    if (age < options_.age_min) return;
    if (!options_.name.empty() && seen.name.find(options_.name) == std::string_view::npos) return;
    const uint32_t tag = TagNumber(seen.tag);
    if (!passes_[tag]) return;
    ++profile_.matching;
    if (status == TaskStatus::kUnreached) ++profile_.unreached;
    const uint32_t group = AddToGroup(seen, status, tag, age);
    if (options_.each_task) AddRecord(seen, group, age);
  }

  // The largest groups first, records by id.
  TaskProfile Finish() {
    std::vector<uint32_t> order(profile_.groups.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) {
      return profile_.groups[a].count > profile_.groups[b].count;
    });
    std::vector<TaskGroup> sorted;
    std::vector<uint32_t> place(order.size());
    for (const uint32_t group : order) {
      place[group] = static_cast<uint32_t>(sorted.size());
      sorted.push_back(profile_.groups[group]);
    }
    profile_.groups = std::move(sorted);
    for (TaskRecord& task : profile_.tasks) task.group = place[task.group];
    NameOwners();
    NameChannelEnds();
    std::ranges::sort(profile_.tasks, {}, &TaskRecord::id);
    return std::move(profile_);
  }

  TaskProfile& profile() { return profile_; }

 private:
  using GroupKey = std::tuple<StackTable::Number, uint32_t, TaskStatus, WaitReason>;

  // Whether tasks with the tag pass is asked once; the reference keeps its address from meaning
  // another one.
  uint32_t TagNumber(const Tag* tag) {
    if (tag == nullptr) return 0;
    const auto [it, is_new] = tags_.try_emplace(tag, static_cast<uint32_t>(profile_.tags.size()));
    if (is_new) {
      profile_.tags.push_back(TagRef::Share(tag));
      passes_.push_back(options_.tag == nullptr || options_.tag(tag));
    }
    return it->second;
  }

  uint32_t NameNumber(std::string_view name) {
    if (name.empty()) return 0;
    const auto [it, is_new] =
        names_.try_emplace(std::string(name), static_cast<uint32_t>(profile_.names.size()));
    if (is_new) profile_.names.emplace_back(name);
    return it->second;
  }

  // Numbers of the process's table become numbers of the profile's own.
  uint32_t SpawnStackNumber(uint32_t number) {
    return number == 0 ? 0 : profile_.spawn_stacks.Add(internal::SpawnStackOf(number));
  }

  // The note of a stack is its number and one. Without the switch that a suspended task is in,
  // which has two forms: equal waits are to be one. The new leaf becomes what leaves are, an
  // instruction.
  StackTable::Number AddStack(const TaskSighting& seen) {
    if (seen.note == nullptr) return AddNewStack(seen);
    if (*seen.note == 0) *seen.note = AddNewStack(seen) + 1;
    return *seen.note - 1;
  }

  StackTable::Number AddNewStack(const TaskSighting& seen) {
    constexpr size_t kSwitch = 2;
    if (seen.kind != SightingKind::kSuspended || seen.stack.size() <= kSwitch)
      return profile_.stacks.Add(seen.stack);
    const auto waiting = seen.stack.subspan(kSwitch);
    std::ranges::copy(waiting, pcs_.begin());
    --pcs_[0];
    return profile_.stacks.Add(std::span(pcs_).first(waiting.size()));
  }

  uint32_t AddToGroup(const TaskSighting& seen, TaskStatus status, uint32_t tag,
                      std::chrono::nanoseconds age) {
    const bool waits = status == TaskStatus::kParked;
    const WaitReason wait = waits ? seen.wait_reason : WaitReason::kNone;
    const StackTable::Number stack = AddStack(seen);
    const uint32_t number = GroupNumber({stack, tag, status, wait});
    if (number == profile_.groups.size()) {
      profile_.groups.push_back({.stack = stack,
                                 .tag = tag,
                                 .status = status,
                                 .wait = wait,
                                 .truncated = seen.stack_end != internal::TracebackEnd::kRoot,
                                 .age_min = age,
                                 .age_max = age});
    }
    TaskGroup& group = profile_.groups[number];
    ++group.count;
    group.age_min = std::min(group.age_min, age);
    group.age_max = std::max(group.age_max, age);
    return number;
  }

  // Equal tasks often follow one another.
  uint32_t GroupNumber(const GroupKey& key) {
    if (profile_.groups.empty() || key != last_key_) {
      last_group_ =
          groups_.try_emplace(key, static_cast<uint32_t>(profile_.groups.size())).first->second;
      last_key_ = key;
    }
    return last_group_;
  }

  void AddRecord(const TaskSighting& seen, uint32_t group, std::chrono::nanoseconds age) {
    if (profile_.tasks.size() >= options_.tasks_max) {
      ++profile_.left_out;
      return;
    }
    TaskRecord& task = profile_.tasks.emplace_back();
    task.id = seen.id;
    records_.push_back(seen.record);
    task.spawner_id = seen.spawner_id;
    task.spawn_pc = seen.spawn_pc;
    task.spawn_stack = SpawnStackNumber(seen.spawn_stack);
    task.group = group;
    task.name = NameNumber(seen.name);
    task.runtime_task = seen.runtime_task;
    task.age = age;
    task.cpu = std::chrono::nanoseconds(seen.cpu_ns);
    if (profile_.groups[group].wait == WaitReason::kNone) return;
    if (seen.wait_reason == WaitReason::kMutexLock) NoteOwner(seen.wait_object);
    task.wait_object = seen.wait_object;
    task.wait_task = seen.wait_task;
    if (seen.due != 0) task.due = std::chrono::nanoseconds(std::max<int64_t>(0, seen.due - now_));
  }

  // Who holds a mutex is asked once a mutex, while the tasks that wait for it do.
  void NoteOwner(const void* mutex) {
    const auto [it, is_new] = owners_.try_emplace(mutex, nullptr);
    if (is_new) it->second = internal::OwnerOfMutex(mutex);
  }

  // The token of a task is its record. Before the records are sorted.
  void NameOwners() {
    if (owners_.empty()) return;
    absl::flat_hash_map<const void*, uint64_t> ids;
    for (size_t i = 0; i < records_.size(); ++i) ids.emplace(records_[i], profile_.tasks[i].id);
    for (TaskRecord& task : profile_.tasks) {
      const auto owner =
          task.wait_object != nullptr ? owners_.find(task.wait_object) : owners_.end();
      if (owner == owners_.end()) continue;
      if (const auto id = ids.find(owner->second); id != ids.end()) task.wait_task = id->second;
    }
  }

  // Of declarations that were there before the announcement and are now: so they were at the
  // instant.
  void NameChannelEnds() {
    using Side = internal::ChannelEnd::Side;
    if (ends_.empty() || profile_.tasks.empty()) return;
    const std::vector<internal::KnownChannelEnd> now = internal::KnownChannelEnds();
    absl::flat_hash_map<std::pair<const void*, Side>, uint64_t> tasks;  // 0: several
    for (const internal::KnownChannelEnd& end : ends_) {
      const auto same =
          std::ranges::lower_bound(now, end.number, {}, &internal::KnownChannelEnd::number);
      if (same == now.end() || same->number != end.number) continue;
      const auto [it, is_new] = tasks.try_emplace(std::pair(end.channel, end.side), end.task);
      if (!is_new && it->second != end.task) it->second = 0;
    }
    for (TaskRecord& task : profile_.tasks) {
      const WaitReason wait = profile_.GroupOf(task).wait;
      if (wait != WaitReason::kChannelReceive && wait != WaitReason::kChannelSend) continue;
      const Side side = wait == WaitReason::kChannelReceive ? Side::kSends : Side::kReceives;
      if (const auto it = tasks.find(std::pair(task.wait_object, side)); it != tasks.end())
        task.wait_task = it->second;
    }
  }

  const TaskProfileOptions& options_;
  const int64_t now_;
  const std::vector<internal::KnownChannelEnd> ends_ =
      options_.each_task ? internal::KnownChannelEnds() : std::vector<internal::KnownChannelEnd>();
  TaskProfile profile_;
  std::array<uintptr_t, 128> pcs_;
  std::vector<bool> passes_;  // by tag number
  absl::flat_hash_map<const Tag*, uint32_t> tags_;
  absl::flat_hash_map<std::string, uint32_t> names_;
  absl::flat_hash_map<GroupKey, uint32_t> groups_;
  GroupKey last_key_;
  uint32_t last_group_ = 0;
  absl::flat_hash_map<const void*, const void*> owners_;  // CallerTokens by mutex
  std::vector<const void*> records_;                      // of profile_.tasks
};

}  // namespace

TaskProfile internal::CollectTaskProfileHere(const TaskProfileOptions& options, void (*pause)(),
                                             std::chrono::nanoseconds patience) {
  const absl::Time start = absl::Now();
  Collector collector(options);
  // On the heap: it is large, and this may be a task's stack.
  const auto caller = std::make_unique<RollCaller>(
      RollCallerOptions{.runtime_tasks = options.runtime_tasks,
                        .depth_max = std::clamp<size_t>(options.depth_max, 1, 128),
                        .patience_ns = patience.count(),
                        .pause = pause});
  caller->Call([&](const TaskSighting& seen) { collector.Take(seen); });
  TaskProfile profile = collector.Finish();
  profile.lost = static_cast<int64_t>(caller->lost());
  profile.time = start;
  profile.duration = absl::Now() - start;
  profile.mappings = CurrentMappings();
  return profile;
}

TaskProfile CollectTaskProfile(const TaskProfileOptions& options) {
  static Mutex* const turns = new Mutex;  // callers wait as tasks, not with their workers
  const std::lock_guard turn(*turns);
  return internal::GoService("task profile",
                             [&] { return internal::CollectTaskProfileHere(options, &Yield); })
      .Join();
}

}  // namespace curg
