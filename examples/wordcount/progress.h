// SPDX-License-Identifier: Apache-2.0
//
// Progress: one line on standard error that is rewritten in place, if that is a terminal.
#pragma once

#include <atomic>
#include <cstdint>

namespace wordcount {

// Thread-safe.
class Progress {
 public:
  Progress();
  ~Progress() { Clear(); }

  // One more file is done. Shows that, but at most ten times a second.
  void AddFile(int64_t bytes);

  // Wipes the line, if there is one.
  void Clear();

 private:
  const bool on_terminal_;
  std::atomic<int64_t> files_{0};
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> next_ns_{0};  // on the steady clock
  std::atomic<bool> shown_{false};
};

}  // namespace wordcount
