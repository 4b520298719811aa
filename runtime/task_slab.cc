// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_slab.h"

#include <sys/mman.h>

#include <bit>
#include <memory>
#include <new>

#include "runtime/context.h"

#ifdef CURG_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace curg::internal {
namespace {

static_assert(TaskState{} == TaskState::kFree, "zeroed memory reads as free records");

template <typename Set>
void Insert(Set& set, size_t i) {
  set[i / 64] |= uint64_t{1} << i % 64;
}

template <typename Set>
void Erase(Set& set, size_t i) {
  set[i / 64] &= ~(uint64_t{1} << i % 64);
}

// The least element, or 0, which none of the sets has.
template <typename Set>
size_t First(const Set& set) {
  for (size_t word = 0; word < set.size(); ++word) {
    if (set[word] != 0) return word * 64 + static_cast<size_t>(std::countr_zero(set[word]));
  }
  return 0;
}

// Reserves `bytes`, aligned to their number.
void* MapAligned(size_t bytes) {
  void* const mapped = mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  const uintptr_t low = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = (low + bytes - 1) / bytes * bytes;
  if (aligned > low) munmap(mapped, aligned - low);
  munmap(reinterpret_cast<void*>(aligned + bytes), low + bytes - aligned);
  // A huge page would keep the memory of 32 chunks for the sake of one.
  madvise(reinterpret_cast<void*>(aligned), bytes, MADV_NOHUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

constinit const TaskSlab* g_slab_for_debuggers = nullptr;

TaskSlab& TaskSlab::Instance() {
  static TaskSlab* const slab = [] {
    auto* const made = new TaskSlab;  // never destroyed: tasks may outlive static objects
    g_slab_for_debuggers = made;
    return made;
  }();
  return *slab;
}

Task* TaskSlab::RecordsOf(Arena& arena, size_t chunk) {
  return reinterpret_cast<Task*>(reinterpret_cast<char*>(&arena) + chunk * kChunkBytes);
}

void TaskSlab::AddArena() {
  static_assert(sizeof(Arena) <= kChunkBytes, "the header takes the place of the first chunk");
  arenas_.reserve(arenas_.size() + 1);
  auto* const arena = ::new (MapAligned(kArenaBytes)) Arena{};
#ifdef CURG_ASAN
  __lsan_register_root_region(arena, kArenaBytes);  // the leak checker does not look into mappings
#endif
  for (size_t i = 1; i < kChunks; ++i) {
    arena->chunks[i].free = kRecords;
    Insert(arena->empty, i);
  }
  empty_ += kChunks - 1;
  arenas_.push_back(arena);
}

TaskSlab::Arena* TaskSlab::FindIn(ChunkSet Arena::*set, size_t* chunk) {
  for (Arena* arena : arenas_) {
    *chunk = First(arena->*set);
    if (*chunk != 0) return arena;
  }
  return nullptr;
}

// Some chunk with a free record, made partial.
TaskSlab::Arena& TaskSlab::ChunkToTakeFrom(size_t* chunk) {
  if (partial_ > 0) return *FindIn(&Arena::partial, chunk);
  Arena* arena;
  if (resident_ > 0) {
    arena = FindIn(&Arena::resident, chunk);
    Erase(arena->resident, *chunk);
    if (--resident_ < resident_low_) resident_low_ = resident_;
  } else {
    if (empty_ == 0) AddArena();
    arena = FindIn(&Arena::empty, chunk);
    Erase(arena->empty, *chunk);
    --empty_;
    free_ += kRecords;
    if (*chunk > arena->made) arena->made = *chunk;
  }
  Insert(arena->partial, *chunk);
  ++partial_;
  return *arena;
}

// From a partial chunk.
Task* TaskSlab::TakeFrom(Arena& arena, size_t index) {
  Chunk& chunk = arena.chunks[index];
  Task* task = chunk.returned;
  if (task != nullptr) {
    chunk.returned = task->next;
  } else {
    task = ::new (RecordsOf(arena, index) + chunk.used) Task;
    ++chunk.used;
  }
  --free_;
  if (--chunk.free == 0) {
    Erase(arena.partial, index);
    --partial_;
  }
  return task;
}

Task* TaskSlab::Take(size_t count) {
  std::lock_guard lock(lock_);
  Task* list = nullptr;
  while (count > 0) {
    size_t index = 0;
    Arena* arena;
    try {
      arena = &ChunkToTakeFrom(&index);
    } catch (...) {
      for (Task* next; list != nullptr; list = next) {
        next = list->next;
        ReturnOne(list);
      }
      throw;
    }
    for (; count > 0 && arena->chunks[index].free > 0; --count) {
      Task* const task = TakeFrom(*arena, index);
      task->next = list;
      list = task;
    }
  }
  return list;
}

void TaskSlab::ReturnOne(Task* task) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(task);
  Arena& arena = *reinterpret_cast<Arena*>(at & ~(kArenaBytes - 1));
  const size_t index = at % kArenaBytes / kChunkBytes;
  Chunk& chunk = arena.chunks[index];
  task->next = chunk.returned;
  chunk.returned = task;
  ++free_;
  if (chunk.free++ == 0) {
    Insert(arena.partial, index);
    ++partial_;
  }
  if (chunk.free == kRecords) {
    Erase(arena.partial, index);
    --partial_;
    Insert(arena.resident, index);
    ++resident_;
  }
}

void TaskSlab::Return(Task* first, Task* last) {
  std::lock_guard lock(lock_);
  last->next = nullptr;
  for (Task* next; first != nullptr; first = next) {
    next = first->next;
    ReturnOne(first);
  }
}

// A chunk is in no set while the lock is open, so nobody takes from it.
bool TaskSlab::TrimUnused() {
#ifdef CURG_TSAN
  return false;
#else
  std::unique_lock lock(lock_);
  size_t unused = resident_low_ > kChunksKept ? resident_low_ - kChunksKept : 0;
  for (size_t i = arenas_.size(); unused > 0 && i-- > 0;) {
    Arena& arena = *arenas_[i];
    for (size_t index; unused > 0 && (index = First(arena.resident)) != 0; --unused) {
      Erase(arena.resident, index);
      --resident_;
      free_ -= kRecords;
      Chunk& chunk = arena.chunks[index];
      lock.unlock();
      Task* const records = RecordsOf(arena, index);
      std::destroy_n(records, chunk.used);
      madvise(records, kChunkBytes, MADV_DONTNEED);
      lock.lock();
      chunk = {.returned = nullptr, .free = kRecords, .used = 0};
      Insert(arena.empty, index);
      ++empty_;
    }
  }
  resident_low_ = resident_;
  return resident_ > kChunksKept;
#endif
}

// The records of the index-th chunk that was ever made, over all arenas.
TaskSlab::Records TaskSlab::ChunkAt(size_t index) {
  std::lock_guard lock(lock_);
  for (Arena* arena : arenas_) {
    if (index < arena->made) {
      return {.first = RecordsOf(*arena, index + 1), .count = arena->chunks[index + 1].used};
    }
    index -= arena->made;
  }
  return {};
}

TaskSlabStats TaskSlab::stats() {
  std::lock_guard lock(lock_);
  const size_t chunks = arenas_.size() * (kChunks - 1) - empty_;
  return {.records = chunks * kRecords, .free = free_, .resident_chunks = chunks};
}

void TaskCache::Refill() {
  first_ = TaskSlab::Instance().Take(kBatch);
  count_ = kBatch;
}

void TaskCache::ReturnSome() {
  Task* const first = first_;
  Task* last = first;
  for (size_t i = 1; i < kBatch; ++i) last = last->next;
  first_ = last->next;
  count_ -= kBatch;
  TaskSlab::Instance().Return(first, last);
}

void TaskCache::Flush() {
  if (first_ == nullptr) return;
  Task* last = first_;
  while (last->next != nullptr) last = last->next;
  TaskSlab::Instance().Return(first_, last);
  first_ = nullptr;
  count_ = 0;
}

}  // namespace curg::internal
