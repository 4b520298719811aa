// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/storm_functions.h"

// Each in a section of its own: the linker marks where one that is named like an identifier begins
// and ends. Nothing may be called last, or the frame would be gone.
#define CURG_STORM_FUNCTION(name)                                                          \
  extern "C" {                                                                             \
  extern const char __start_curg_##name[];                                                 \
  extern const char __stop_curg_##name[];                                                  \
  [[gnu::noinline, gnu::section("curg_" #name)]] void CurgCall_##name(void (*body)(void*), \
                                                                      void* arg) {         \
    body(arg);                                                                             \
    asm volatile("" ::: "memory");                                                         \
  }                                                                                        \
  }

CURG_STORM_FUNCTION(kind_0)
CURG_STORM_FUNCTION(kind_1)
CURG_STORM_FUNCTION(kind_2)
CURG_STORM_FUNCTION(kind_3)
CURG_STORM_FUNCTION(phase_0)
CURG_STORM_FUNCTION(phase_1)
CURG_STORM_FUNCTION(phase_2)
CURG_STORM_FUNCTION(phase_3)

namespace curg::internal {
namespace {

struct Function {
  void (*call)(void (*body)(void*), void* arg);
  const char* start;
  const char* stop;
};

#define CURG_STORM_ROW(name) \
  { &CurgCall_##name, __start_curg_##name, __stop_curg_##name }

constexpr Function kKinds[kStormKinds] = {CURG_STORM_ROW(kind_0), CURG_STORM_ROW(kind_1),
                                          CURG_STORM_ROW(kind_2), CURG_STORM_ROW(kind_3)};
constexpr Function kPhases[kStormPhases] = {CURG_STORM_ROW(phase_0), CURG_STORM_ROW(phase_1),
                                            CURG_STORM_ROW(phase_2), CURG_STORM_ROW(phase_3)};

int IndexAt(const Function* functions, int count, uintptr_t pc) {
  for (int i = 0; i < count; ++i) {
    if (pc >= reinterpret_cast<uintptr_t>(functions[i].start) &&
        pc < reinterpret_cast<uintptr_t>(functions[i].stop)) {
      return i;
    }
  }
  return -1;
}

}  // namespace

void CallAsKind(int kind, void (*body)(void*), void* arg) { kKinds[kind].call(body, arg); }
void CallInPhase(int phase, void (*body)(void*), void* arg) { kPhases[phase].call(body, arg); }

int StormKindAt(uintptr_t pc) { return IndexAt(kKinds, kStormKinds, pc); }
int StormPhaseAt(uintptr_t pc) { return IndexAt(kPhases, kStormPhases, pc); }

}  // namespace curg::internal
