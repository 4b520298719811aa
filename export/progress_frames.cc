// SPDX-License-Identifier: Apache-2.0
#include "export/progress_frames.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace curg::internal {

ProgressFrames::ProgressFrames(FrameSource& frames, size_t addresses, Say say,
                               std::chrono::nanoseconds patience)
    : frames_(frames),
      addresses_(addresses),
      say_(std::move(say)),
      next_(std::chrono::steady_clock::now() + patience) {}

ProgressFrames::~ProgressFrames() {
  if (said_) say_("");
}

const std::vector<Frame>& ProgressFrames::FramesAt(uintptr_t address) {
  if (say_ != nullptr) {
    if (const auto now = std::chrono::steady_clock::now(); now >= next_) {
      next_ = now + std::chrono::seconds(1);
      said_ = true;
      say_(absl::StrCat("looking up symbols: ", done_, " of ", addresses_, " addresses"));
    }
    ++done_;
  }
  return frames_.FramesAt(address);
}

ProgressFrames::Say ProgressFrames::OnTerminal() {
  if (isatty(STDERR_FILENO) == 0) return nullptr;
  return [](const std::string& line) { std::fprintf(stderr, "\r\x1b[K%s", line.c_str()); };
}

size_t AddressCount(const CpuProfile& profile) {
  absl::flat_hash_set<uintptr_t> addresses;
  for (const CpuProfileEntry& entry : profile.entries) {
    addresses.insert(entry.pcs.begin(), entry.pcs.end());
  }
  return addresses.size();
}

}  // namespace curg::internal
