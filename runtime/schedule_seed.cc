// SPDX-License-Identifier: Apache-2.0
#include "runtime/schedule_seed.h"

#include <atomic>
#include <cstdlib>
#include <random>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/report_text.h"

namespace curg::internal {
namespace {

// Relaxed, both: a number by itself; `g_others` is a hint.
std::atomic<uint64_t> g_told{0};
std::atomic<bool> g_others{false};  // were told before, and different

void OnExit(int status, void*) {
  if (status != 0) TellScheduleSeedAgain();
}

}  // namespace

absl::StatusOr<uint64_t> ScheduleSeed(std::optional<uint64_t> option) {
  uint64_t seed = option.value_or(0);
  const char* const text = std::getenv("CURG_SCHEDULE_SEED");
  if (seed != 0 || text == nullptr || *text == '\0') return seed;
  if (std::string_view(text) == "random") {
    static const uint64_t drawn = std::random_device{}() | 1u;
    return drawn;
  }
  if (absl::SimpleAtoi(text, &seed)) return seed;
  return absl::InvalidArgumentError(
      absl::StrCat("the environment variable CURG_SCHEDULE_SEED is \"", text,
                   "\"; set it to a number, or to \"random\""));
}

void TellScheduleSeed(uint64_t seed) {
  if (seed == 0) return;
  static const int listens = on_exit(&OnExit, nullptr);
  (void)listens;
  const uint64_t last = g_told.exchange(seed, std::memory_order_relaxed);
  if (last != 0 && last != seed) g_others.store(true, std::memory_order_relaxed);
  StderrSink sink;
  sink.Append("curg: tasks run in random order; CURG_SCHEDULE_SEED=");
  sink.Append(seed);
  sink.Append(" repeats it\n");
}

void TellScheduleSeedAgain() {
  const uint64_t seed = g_told.load(std::memory_order_relaxed);
  if (seed == 0) return;
  StderrSink sink;
  sink.Append("curg: this was with tasks in random order; CURG_SCHEDULE_SEED=");
  sink.Append(seed);
  sink.Append(" repeats it");
  if (g_others.load(std::memory_order_relaxed)) sink.Append(" (the last of several seeds)");
  sink.Append("\n");
}

}  // namespace curg::internal
