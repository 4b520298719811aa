// SPDX-License-Identifier: Apache-2.0
//
// Counting: one task for each file; results go through a channel to the tasks that merge them.
//
//   walk --Go--> read, tokenize --[channel]--> merge
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "examples/wordcount/progress.h"
#include "examples/wordcount/tokenize.h"
#include "examples/wordcount/walk.h"

namespace wordcount {

enum class Outcome : uint8_t { kCounted, kBinary, kUnreadable, kSpecial };

// What became of one file.
struct FileCounts {
  Outcome outcome = Outcome::kCounted;
  int64_t bytes = 0;  // read
  WordMap words;      // empty unless counted
  std::string ext;
};

// Reads and counts one file. A NUL byte makes it a binary file, of which nothing counts; a "word"
// of more than 64 KiB counts in pieces. What is no regular file is not read.
// Blocks: the thread, in read().
FileCounts CountFile(const FoundFile& file);

struct Word {
  std::string word;
  int64_t count;
};

// What became of many files.
struct Sums {
  int64_t files = 0;  // counted
  int64_t binary = 0;
  int64_t unreadable = 0;
  int64_t special = 0;
  int64_t bytes = 0;  // read
  int64_t words = 0;

  void Add(const Sums& other);
};

struct Totals {
  Sums sums;
  int64_t distinct_words = 0;
  std::vector<Word> top;  // the most frequent ones; equally frequent ones by name
  WalkStats walk;
};

struct CountOptions {
  std::vector<std::string> roots;
  int top = 20;
  int in_flight = 256;  // file tasks at a time
  int mergers = 1;      // tasks that merge
};

// Counts the words of all files below the roots. Call it on a task. Blocks: the task.
Totals CountBelow(const CountOptions& options, Progress& progress);

}  // namespace wordcount
