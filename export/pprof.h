// SPDX-License-Identifier: Apache-2.0
//
// CPU profiles as pprof files. Start here.
//
//   #include "export/pprof.h"
//
//   absl::StatusOr<curg::CpuProfileToFile> profile = curg::CpuProfileToFile::Start("cpu.pb.gz");
//   if (!profile.ok()) ...                  // the path cannot be written, or the kernel refuses
//   ... the work ...
//   absl::Status status = profile->Stop();  // then: go tool pprof -top cpu.pb.gz
//
// export/text.h prints the same profile in a terminal.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "export/frame.h"
#include "export/output_file.h"
#include "profiler/cpu_profile.h"
#include "profiler/cpu_profiler.h"

namespace curg {

// The profile as pprof reads it: gzipped protobuf, with names, files, lines and inlined functions
// as far as they are found on this machine (export/symbolize.h). export/profile_builder.h says what
// is in it. Call it in the process that was profiled, or on its machine. With `frames` given (a
// Symbolizer that already served the same profile), symbols are looked up there.
// Thread-safe, but for `frames`. Not async-signal-safe. Blocks: the thread, reading symbols; from
// some milliseconds to a second or two.
absl::StatusOr<std::string> EncodePprof(const CpuProfile& profile);
absl::StatusOr<std::string> EncodePprof(const CpuProfile& profile, FrameSource& frames);

// EncodePprof to a file. The file is there whole or not at all; what was there before stays until
// then. A relative path is below the current directory when the file is opened; under `bazel run`,
// which starts programs in their runfiles directory, it is below the one that bazel was called in.
// Errors say which path and what the system said. If symbolizing takes more than two seconds, a
// terminal at standard error shows how far it is. Blocks: the task or plain thread.
absl::Status WritePprof(const CpuProfile& profile, const std::string& path);
absl::Status WritePprof(const CpuProfile& profile, const std::string& path, FrameSource& frames);

// A file for a profile to come, opened before the work starts so that a path that cannot be written
// is an error then. For programs that also use the profile themselves; see CpuProfileToFile
// otherwise.
// Thread-compatible. Blocks: the thread.
class PprofFile {
 public:
  // Errors are those of the file. Nothing is at the path before Write, and what was there stays
  // until then, or for good if Write is not called.
  static absl::StatusOr<PprofFile> Open(const std::string& path);

  // As WritePprof. Once.
  absl::Status Write(const CpuProfile& profile);
  absl::Status Write(const CpuProfile& profile, FrameSource& frames);

 private:
  explicit PprofFile(internal::OutputFile file) : file_(std::move(file)) {}

  internal::OutputFile file_;
};

// Profiles from Start to Stop (or its end), into a file.
// Thread-compatible; may be stopped by another task or thread than the one that started it.
class CpuProfileToFile {
 public:
  // Opens the file first: a path that cannot be written is an error before anything is sampled.
  // Errors are those of the file and of StartCpuProfile. Blocks: the task or plain thread, briefly.
  static absl::StatusOr<CpuProfileToFile> Start(const std::string& path,
                                                const CpuProfileOptions& options = {},
                                                CallSite caller = CallSite::Here());

  CpuProfileToFile(CpuProfileToFile&& other) noexcept;
  // Ends the profile it holds first, as the destructor does.
  CpuProfileToFile& operator=(CpuProfileToFile&& other) noexcept;

  // Stops and writes the file if Stop was not called; an error is reported on standard error.
  ~CpuProfileToFile();

  // Ends the profile and writes the file. Once; later calls return FAILED_PRECONDITION.
  // Blocks: the thread, as WritePprof.
  absl::Status Stop();

 private:
  CpuProfileToFile(internal::OutputFile file, CpuProfileSession session);
  void Finish() noexcept;

  std::optional<internal::OutputFile> file_;
  std::optional<CpuProfileSession> session_;  // none: stopped
};

}  // namespace curg
