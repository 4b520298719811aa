// SPDX-License-Identifier: Apache-2.0
#include "export/pseudo_names.h"

#include <utility>

#include "profiler/pseudo_frames.h"

namespace curg::internal {
namespace {

bool HasFrames(const CpuProfileEntry& entry) {
  for (uintptr_t pc : entry.pcs) {
    if (pc != 0) return true;
  }
  return false;
}

bool EndsIn(const CpuProfileEntry& entry, PseudoFrame frame) {
  return !entry.pcs.empty() && entry.pcs.back() == PseudoCaller(frame);
}

}  // namespace

std::string_view PseudoName(uintptr_t address) {
  static const std::pair<PseudoFrame, std::string_view> kNames[] = {
      {&TaskSwitch, "curg::TaskSwitch"},         {&LostSamples, "curg::LostSamples"},
      {&OverflowBucket, "curg::OverflowBucket"}, {&NotSampled, "curg::NotSampled"},
      {&TruncatedStack, "curg::TruncatedStack"}, {&BrokenStack, "curg::BrokenStack"},
      {&UnknownStack, "curg::UnknownStack"},     {&ForeignThread, kForeignThreadName},
      {&SpawnedBy, "curg::SpawnedBy"},           {&UnseenThreads, "curg::UnseenThreads"},
  };
  for (const auto& [frame, name] : kNames) {
    if (PseudoLeaf(frame) == address) return name;
  }
  return {};
}

std::string_view RootName(const CpuProfileEntry& entry) {
  switch (entry.kind) {
    case SampleKind::kRuntime:
      return kRuntimeThreadName;
    case SampleKind::kForeign:
      return EndsIn(entry, &ForeignThread) ? std::string_view() : kForeignThreadName;
    case SampleKind::kLost:
      return HasFrames(entry) ? std::string_view() : "curg::LostSamples";
    case SampleKind::kOverflow:
      return HasFrames(entry) ? std::string_view() : "curg::OverflowBucket";
    case SampleKind::kNotSampled:
      return HasFrames(entry) ? std::string_view() : "curg::NotSampled";
    case SampleKind::kTask:
      break;
  }
  if (!HasFrames(entry)) return "curg::UnknownStack";
  return entry.truncated && !EndsIn(entry, &TruncatedStack) ? "curg::TruncatedStack"
                                                            : std::string_view();
}

}  // namespace curg::internal
