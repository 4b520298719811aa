// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/count.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>

#include "examples/wordcount/phase.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace wordcount {
namespace {

constexpr size_t kChunk = size_t{64} << 10;    // bytes
constexpr std::string_view kAllExt = "<all>";  // the label `ext` of what is done for all files

// A file, chunk by chunk. It is opened by the first Fill and closed by the last.
class Chunks {
 public:
  explicit Chunks(const std::string& path) : path_(path) {}
  ~Chunks() { Close(); }
  Chunks(const Chunks&) = delete;
  Chunks& operator=(const Chunks&) = delete;

  // Reads until the buffer is full or the file ends; returns how much.
  size_t Fill(char* buffer, size_t size) {
    if (fd_ < 0) Open();
    size_t filled = 0;
    while (filled < size && !at_end_) {
      const ssize_t count = read(fd_, buffer + filled, size - filled);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) Fail(Outcome::kUnreadable);
      at_end_ = count <= 0;
      if (count > 0) filled += static_cast<size_t>(count);
    }
    if (at_end_) Close();
    return filled;
  }

  bool at_end() const { return at_end_; }
  // kCounted as long as there is none.
  Outcome problem() const { return problem_; }

 private:
  void Open() {
    // Whatever has taken the file's place since it was found: opening must not wait for a pipe's
    // other end, nor get us a terminal.
    fd_ = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat info;
    if (fd_ < 0 || fstat(fd_, &info) != 0) {
      Fail(Outcome::kUnreadable);
    } else if (!S_ISREG(info.st_mode)) {
      Fail(Outcome::kSpecial);
    }
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Fail(Outcome problem) {
    problem_ = problem;
    at_end_ = true;
  }

  const std::string& path_;
  int fd_ = -1;
  bool at_end_ = false;
  Outcome problem_ = Outcome::kCounted;
};

Sums SumsOf(const FileCounts& file) {
  Sums sums;
  sums.files = file.outcome == Outcome::kCounted;
  sums.binary = file.outcome == Outcome::kBinary;
  sums.unreadable = file.outcome == Outcome::kUnreadable;
  sums.special = file.outcome == Outcome::kSpecial;
  sums.bytes = file.bytes;
  for (const auto& [word, count] : file.words) sums.words += count;
  return sums;
}

// Moves what was counted from one map into another.
void MergeWords(WordMap& from, WordMap& to) {
  for (const auto& [word, count] : from) to[word] += count;
  WordMap().swap(from);  // to free it is part of the work
}

// What one merging task has.
struct Merged {
  WordMap words;
  Sums sums;
};

Merged MergeAll(curg::Channel<std::unique_ptr<FileCounts>>& results, Progress& progress) {
  Merged merged;
  for (std::unique_ptr<FileCounts>& file : results) {
    PhaseScope phase(Phase::kMerge, file->ext);
    merged.sums.Add(SumsOf(*file));
    MergeWords(file->words, merged.words);
    progress.AddFile(file->bytes);
  }
  return merged;
}

std::vector<Word> TopWords(const WordMap& words, int top) {
  std::vector<const WordMap::value_type*> sorted;
  sorted.reserve(words.size());
  for (const auto& entry : words) sorted.push_back(&entry);
  const size_t shown = std::min(words.size(), static_cast<size_t>(top));
  std::partial_sort(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(shown), sorted.end(),
                    [](const auto* a, const auto* b) {
                      return a->second != b->second ? a->second > b->second : a->first < b->first;
                    });
  std::vector<Word> result;
  for (size_t i = 0; i < shown; ++i) result.push_back({sorted[i]->first, sorted[i]->second});
  return result;
}

// Finds the files and starts a task for each.
void StartFiles(const CountOptions& options, curg::Channel<std::unique_ptr<FileCounts>>& results,
                WalkStats& stats) {
  std::deque<curg::JoinHandle<void>> in_flight;
  Walker walker([&](FoundFile file) {
    if (in_flight.size() == static_cast<size_t>(options.in_flight)) {
      in_flight.front().Join();
      in_flight.pop_front();
    }
    PhaseScope phase(Phase::kRead, kDirectoryExt);  // Go does not park
    const curg::TaskOptions task = {.name = file.path, .tag = PhaseLabels(Phase::kRead, file.ext)};
    in_flight.push_back(curg::Go(
        task, [&results, file] { results.Send(std::make_unique<FileCounts>(CountFile(file))); }));
  });
  for (const std::string& root : options.roots) walker.Walk(root);
  for (curg::JoinHandle<void>& file : in_flight) file.Join();
  stats = walker.stats();
}

// Counts the words of a chunk; returns how many bytes it left at the buffer's start.
size_t CountChunk(char* buffer, size_t size, bool at_end, WordMap& words) {
  size_t done = CountWords(buffer, size, at_end, words);
  // A word that fills the whole buffer: no room for more of it.
  if (done == 0 && size == kChunk) done = CountWords(buffer, size, /*at_end=*/true, words);
  std::memmove(buffer, buffer + done, size - done);
  return size - done;
}

}  // namespace

void Sums::Add(const Sums& other) {
  files += other.files;
  binary += other.binary;
  unreadable += other.unreadable;
  special += other.special;
  bytes += other.bytes;
  words += other.words;
}

FileCounts CountFile(const FoundFile& file) {
  PhaseScope phase(Phase::kRead, file.ext);
  FileCounts counts;
  counts.ext = file.ext;
  Chunks chunks(file.path);
  const auto buffer = std::make_unique_for_overwrite<char[]>(kChunk);
  size_t kept = 0;  // bytes at the buffer's start: a word that may go on
  while (!chunks.at_end()) {
    phase.Switch(Phase::kRead);
    const size_t size = chunks.Fill(buffer.get() + kept, kChunk - kept);
    phase.Switch(Phase::kTokenize);
    counts.bytes += static_cast<int64_t>(size);
    counts.outcome = chunks.problem();
    if (std::memchr(buffer.get() + kept, 0, size) != nullptr) counts.outcome = Outcome::kBinary;
    if (counts.outcome != Outcome::kCounted) {
      counts.words.clear();
      break;
    }
    kept = CountChunk(buffer.get(), kept + size, chunks.at_end(), counts.words);
  }
  return counts;
}

Totals CountBelow(const CountOptions& options, Progress& progress) {
  // Whatever this task does that no narrower scope labels: finding files and starting tasks.
  const curg::ScopedLabels labels(PhaseLabels(Phase::kRead, kDirectoryExt));
  curg::Channel<std::unique_ptr<FileCounts>> results(static_cast<size_t>(options.in_flight));
  std::vector<curg::JoinHandle<Merged>> mergers;
  for (int i = 0; i < options.mergers; ++i) {
    mergers.push_back(curg::Go({.name = "merge", .tag = PhaseLabels(Phase::kMerge, kAllExt)},
                               [&] { return MergeAll(results, progress); }));
  }
  WalkStats walk;
  StartFiles(options, results, walk);
  results.Close();

  Merged all = mergers[0].Join();
  for (size_t i = 1; i < mergers.size(); ++i) {
    Merged more = mergers[i].Join();
    PhaseScope phase(Phase::kMerge, kAllExt);
    all.sums.Add(more.sums);
    MergeWords(more.words, all.words);
  }
  PhaseScope phase(Phase::kMerge, kAllExt);
  const auto distinct_words = static_cast<int64_t>(all.words.size());
  Totals totals = {all.sums, distinct_words, TopWords(all.words, options.top), walk};
  WordMap().swap(all.words);
  return totals;
}

}  // namespace wordcount
