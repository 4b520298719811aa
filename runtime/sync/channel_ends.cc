// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/channel_ends.h"

#include <time.h>

#include <algorithm>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

struct Ends {
  std::mutex lock;
  uint64_t next = 1;                                     // guarded by lock
  absl::flat_hash_map<uint64_t, KnownChannelEnd> known;  // by number; guarded by lock
};

Ends& TheEnds() {
  static Ends* const ends = new Ends;  // dumps come to the end
  return *ends;
}

// Whoever holds the lock may have failed with it, where a dump is made for that.
bool LockSoon(std::unique_lock<std::mutex>& lock) {
  constexpr int kTries = 50;
  for (int i = 0; i < kTries && !lock.try_lock(); ++i) {
    const timespec moment = {.tv_sec = 0, .tv_nsec = 100'000};
    nanosleep(&moment, nullptr);
  }
  return lock.owns_lock();
}

}  // namespace

ChannelEnd::ChannelEnd(const void* channel, Side side) {
  const Task* const task = CurrentTask();
  if (task == nullptr) return;
  Ends& ends = TheEnds();
  const std::lock_guard lock(ends.lock);
  number_ = ends.next++;
  ends.known.try_emplace(number_, KnownChannelEnd{number_, channel, side, task->id});
}

ChannelEnd::~ChannelEnd() {
  if (number_ == 0) return;
  const std::lock_guard lock(TheEnds().lock);
  TheEnds().known.erase(number_);
}

std::vector<KnownChannelEnd> KnownChannelEnds() {
  Ends& ends = TheEnds();
  std::unique_lock lock(ends.lock, std::defer_lock);
  std::vector<KnownChannelEnd> all;
  if (!LockSoon(lock)) return all;
  all.reserve(ends.known.size());
  for (const auto& [number, end] : ends.known) all.push_back(end);
  lock.unlock();
  std::ranges::sort(all, {}, &KnownChannelEnd::number);
  return all;
}

}  // namespace curg::internal
