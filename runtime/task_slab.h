// SPDX-License-Identifier: Apache-2.0
//
// TaskSlab: where task records come from. Type-stable: memory of a record is never anything else,
// so whoever enumerates tasks walks slabs, and a late look at a freed record reads a record.
//
// Records are cut from *chunks* of 64 KiB, those from *arenas* of 16 MiB, aligned to their size, so
// that a record's address tells its chunk. The memory of chunks whose records are all free goes
// back to the kernel, after which they read as zeros.
//
// Invariant  all zero bytes read as a free record: TaskState::kFree is 0. So a chunk may be zeroed
//            under a late reader, who looks at nothing else of a record that says so. Before that
//            its records are destroyed, and made again, one by one, when they are next taken.
// Order      records of chunks that are in part used are taken first, of those the lowest: so the
//            others become wholly free.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/task.h"

namespace curg::internal {

struct TaskSlabStats {
  size_t records = 0;          // ever made
  size_t free = 0;             // of these, not taken (by a task or a TaskCache)
  size_t resident_chunks = 0;  // 64 KiB each
};

// The records of the process, shared by all its runtimes.
// Thread-safe.
class TaskSlab {
 public:
  static TaskSlab& Instance();

  // Takes `count` records, linked through next. Throws std::bad_alloc.
  Task* Take(size_t count);
  // Gives back records linked from `first` to `last`.
  void Return(Task* first, Task* last);

  // Gives memory back to the kernel: that of chunks which were wholly free all the time since the
  // last call, except of a few. True: there is more for the next call to look at.
  // Under the thread sanitizer, which cannot see it, nothing is given back.
  // Blocks: the thread, some microseconds a chunk; nobody else.
  bool TrimUnused();

  // Calls `visit(task)` for each record ever made, whatever its state.
  // May run in parallel with everything; what it sees may change under it.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (size_t i = 0; Records chunk = ChunkAt(i); ++i) {
      for (size_t j = 0; j < chunk.count; ++j) visit(chunk.first[j]);
    }
  }

  TaskSlabStats stats();

 private:
  friend struct DebugLayout;

  static constexpr size_t kChunkBytes = size_t{64} << 10;
  static constexpr size_t kArenaBytes = size_t{16} << 20;
  static constexpr size_t kChunks = kArenaBytes / kChunkBytes;  // of an arena; the first is its
                                                                // header
  static constexpr size_t kWords = kChunks / 64;
  static constexpr uint32_t kRecords = kChunkBytes / sizeof(Task);
  static constexpr size_t kChunksKept = 1;

  struct Chunk {
    Task* returned;  // a list through next
    uint32_t free;   // records: those returned, and those from `used` on
    uint32_t used;   // the first so many were taken since the memory was zero
  };

  // A set of the chunks of an arena.
  using ChunkSet = std::array<uint64_t, kWords>;

  // The beginning of an arena.
  struct Arena {
    std::array<Chunk, kChunks> chunks;
    ChunkSet partial;   // some records free, some taken
    ChunkSet resident;  // all free, with memory
    ChunkSet empty;     // all free, without
    size_t made;        // chunks from 1 to this were used at least once
  };

  struct Records {
    Task* first = nullptr;
    size_t count = 0;
    explicit operator bool() const { return first != nullptr; }
  };

  // All with lock_ held, but for ChunkAt.
  Records ChunkAt(size_t index);
  void AddArena();
  Arena* FindIn(ChunkSet Arena::*set, size_t* chunk);
  Arena& ChunkToTakeFrom(size_t* chunk);
  Task* TakeFrom(Arena& arena, size_t chunk);
  void ReturnOne(Task* task);
  static Task* RecordsOf(Arena& arena, size_t chunk);

  std::mutex lock_;
  // All below is guarded by lock_.
  std::vector<Arena*> arenas_;  // never shrinks
  size_t partial_ = 0;          // chunks
  size_t resident_ = 0;         // chunks
  size_t resident_low_ = 0;     // the least resident_ since the last TrimUnused
  size_t empty_ = 0;            // chunks
  size_t free_ = 0;             // records in the partial and the resident chunks
};

// TaskSlab::Instance(), once that was called (debug_layout.cc).
extern const TaskSlab* g_slab_for_debuggers;

// A processor's share of the records. Owner only: the worker that has the processor.
class TaskCache {
 public:
  TaskCache() = default;
  TaskCache(const TaskCache&) = delete;
  TaskCache& operator=(const TaskCache&) = delete;
  ~TaskCache() { Flush(); }

  Task* Take() {
    if (first_ == nullptr) Refill();
    Task* task = first_;
    first_ = task->next;
    --count_;
    return task;
  }

  void Return(Task* task) {
    if (count_ == kMost) ReturnSome();
    task->next = first_;
    first_ = task;
    ++count_;
  }

  bool Empty() const { return count_ == 0; }

  // Returns all records.
  void Flush();

 private:
  static constexpr size_t kBatch = 64;   // one visit to the slab's lock pays for this many
  static constexpr size_t kMost = 1024;  // so that bursts of tasks need not visit it

  void Refill();
  void ReturnSome();

  Task* first_ = nullptr;
  size_t count_ = 0;
};

}  // namespace curg::internal
