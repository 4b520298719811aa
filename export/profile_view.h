// SPDX-License-Identifier: Apache-2.0
//
// ProfileView: a pprof message with its ids and string indexes resolved, for those who print it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "export/profile.pb.h"

namespace curg {

// Thread-compatible, as any value.
class ProfileView {
 public:
  struct ValueType {
    std::string type;  // "cpu"
    std::string unit;  // "nanoseconds"
  };
  struct Sample {
    std::vector<uint32_t> stack;  // indexes of names(), root first; inlined functions are frames,
                                  // too
    // Sorted by key; a number is written with its unit.
    std::vector<std::pair<std::string, std::string>> labels;
    std::vector<int64_t> values;  // one for each of types()
  };

  // INVALID_ARGUMENT: the message refers to what it does not hold, or has too few values.
  static absl::StatusOr<ProfileView> Of(const perftools::profiles::Profile& profile);

  const std::vector<ValueType>& types() const { return types_; }
  // The type that readers show unless asked for another: the one the message names, else the last.
  int default_type() const { return default_type_; }
  // The index of a type by its name, or -1.
  int TypeIndex(std::string_view name) const;

  // Function names, each once; where there is none, "0x1234 (library.so)".
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Sample>& samples() const { return samples_; }
  const std::vector<std::string>& comments() const { return comments_; }
  int64_t duration_ns() const { return duration_ns_; }

  // The sum of all samples' values of that type.
  int64_t Total(int type) const;

  // Leaves only samples that have this label ("key=value", or "key" for any value).
  void KeepLabel(std::string_view label);

 private:
  class Reader;

  std::vector<ValueType> types_;
  int default_type_ = 0;
  std::vector<std::string> names_;
  std::vector<Sample> samples_;
  std::vector<std::string> comments_;
  int64_t duration_ns_ = 0;
};

// A pprof file, gzipped or not. Errors name the path. Blocks: the thread.
absl::StatusOr<perftools::profiles::Profile> ReadPprof(const std::string& path);

// Writes a gzipped pprof file, whole or not at all. Blocks: the thread.
absl::Status WritePprof(const perftools::profiles::Profile& profile, const std::string& path);

// `profile` less `base`: what came up has positive values, what went down has negative ones, and
// what is the same is left out. Errors are those of MergeProfiles (export/profile_merge.h).
absl::StatusOr<perftools::profiles::Profile> DiffProfiles(
    const perftools::profiles::Profile& base, const perftools::profiles::Profile& profile);

}  // namespace curg
