// SPDX-License-Identifier: Apache-2.0
#include "export/http/delta.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "export/pprof.h"
#include "export/profile_delta.h"
#include "runtime/go.h"

namespace curg {
namespace {

constexpr int64_t kSecondsMax = 366 * 24 * 3600;  // the client leaves sooner

DebugResponse DeltaPage(const DebugRequest& request, const std::string& name,
                        const ProfileSnapshot& snapshot) {
  const int64_t seconds = request.query.GetInt("seconds").value_or(0);
  if (seconds <= 0) {
    return DebugResponse::Error(400, "invalid value for \"seconds\" - must be a positive integer");
  }
  if (snapshot == nullptr) {
    return DebugResponse::Error(400,
                                "\"seconds\" parameter is not supported for this profile type");
  }
  if (request.query.GetInt("debug").value_or(0) != 0) {
    return DebugResponse::Error(400, "seconds and debug params are incompatible");
  }
  const absl::StatusOr<CpuProfile> earlier = snapshot();
  if (!earlier.ok()) return DebugResponse::Error(500, "failed to collect profile");
  if (!SleepFor(std::chrono::seconds(std::min(seconds, kSecondsMax)), request.stop)) {
    return DebugResponse::Error(500, "the client is gone");
  }
  absl::StatusOr<CpuProfile> later = snapshot();
  if (!later.ok()) return DebugResponse::Error(500, "failed to collect profile");
  absl::StatusOr<std::string> file = EncodePprof(ProfileDelta(*earlier, *std::move(later)));
  if (!file.ok()) return DebugResponse::Error(500, "failed to compute delta");
  return DebugResponse::File(absl::StrCat(name, "-delta"), *std::move(file));
}

}  // namespace

DebugHandler WithDelta(std::string name, DebugHandler plain, ProfileSnapshot snapshot) {
  return [name = std::move(name), plain = std::move(plain),
          snapshot = std::move(snapshot)](const DebugRequest& request) {
    if (request.query.Get("seconds").empty()) return plain(request);
    return DeltaPage(request, name, snapshot);
  };
}

}  // namespace curg
