// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu_engine.h"

#include <utility>

namespace curg {
namespace {

constexpr std::pair<CpuEngine, std::string_view> kNames[] = {
    {CpuEngine::kAuto, "auto"},
    {CpuEngine::kTimer, "posix-cpu-timer"},
    {CpuEngine::kPerf, "perf-task-clock"},
    {CpuEngine::kPerfUser, "perf-task-clock-user"},
    {CpuEngine::kCycles, "perf-cycles"},
    {CpuEngine::kInstructions, "perf-instructions"},
    {CpuEngine::kCacheMisses, "perf-cache-misses"},
};

}  // namespace

std::string EngineName(CpuEngine engine) {
  for (const auto& [known, name] : kNames) {
    if (known == engine) return std::string(name);
  }
  return "unknown";
}

std::string EventName(CpuEngine engine) {
  switch (engine) {
    case CpuEngine::kCycles:
      return "cycles";
    case CpuEngine::kInstructions:
      return "instructions";
    case CpuEngine::kCacheMisses:
      return "cache-misses";
    default:
      return "cpu";
  }
}

std::optional<CpuEngine> EngineNamed(std::string_view name) {
  for (const auto& [engine, known] : kNames) {
    if (known == name) return engine;
  }
  return std::nullopt;
}

}  // namespace curg
