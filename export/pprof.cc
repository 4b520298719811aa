// SPDX-License-Identifier: Apache-2.0
#include "export/pprof.h"

#include <limits.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "export/gzip.h"
#include "export/large_stack.h"
#include "export/profile_builder.h"
#include "export/progress_frames.h"
#include "export/symbolize.h"

namespace curg {
namespace {

// The path of this program as the kernel names it in mappings.
std::string ProgramPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size <= 0 ? "" : std::string(path, static_cast<size_t>(size));
}

absl::StatusOr<std::string> Encode(const CpuProfile& profile, FrameSource& frames) {
  std::string message;
  const perftools::profiles::Profile built =
      BuildProfile(profile, frames, {.program = ProgramPath()});
  if (!built.SerializeToString(&message)) {
    return absl::ResourceExhaustedError("the profile is larger than protobuf can write (2 GiB)");
  }
  return internal::Gzip(message);
}

// For who writes a file, and may sit before it: says how far it is, on a terminal.
absl::StatusOr<std::string> EncodeWithProgress(const CpuProfile& profile) {
  Symbolizer symbolizer(profile.mappings);
  internal::ProgressFrames frames(symbolizer, internal::AddressCount(profile));
  return EncodePprof(profile, frames);
}

}  // namespace

absl::StatusOr<std::string> EncodePprof(const CpuProfile& profile, FrameSource& frames) {
  absl::StatusOr<std::string> result;
  internal::OnLargeStack([&] { result = Encode(profile, frames); });
  return result;
}

absl::StatusOr<std::string> EncodePprof(const CpuProfile& profile) {
  Symbolizer symbolizer(profile.mappings);
  return EncodePprof(profile, symbolizer);
}

absl::Status WritePprof(const CpuProfile& profile, const std::string& path, FrameSource& frames) {
  absl::StatusOr<PprofFile> file = PprofFile::Open(path);
  return file.ok() ? file->Write(profile, frames) : file.status();
}

absl::Status WritePprof(const CpuProfile& profile, const std::string& path) {
  absl::StatusOr<PprofFile> file = PprofFile::Open(path);
  return file.ok() ? file->Write(profile) : file.status();
}

absl::StatusOr<PprofFile> PprofFile::Open(const std::string& path) {
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(path);
  if (!file.ok()) return file.status();
  return PprofFile(*std::move(file));
}

absl::Status PprofFile::Write(const CpuProfile& profile, FrameSource& frames) {
  const absl::StatusOr<std::string> encoded = EncodePprof(profile, frames);
  if (!encoded.ok()) return encoded.status();
  return file_.Commit(*encoded);
}

absl::Status PprofFile::Write(const CpuProfile& profile) {
  const absl::StatusOr<std::string> encoded = EncodeWithProgress(profile);
  if (!encoded.ok()) return encoded.status();
  return file_.Commit(*encoded);
}

absl::StatusOr<CpuProfileToFile> CpuProfileToFile::Start(const std::string& path,
                                                         const CpuProfileOptions& options,
                                                         CallSite caller) {
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<CpuProfileSession> session = StartCpuProfile(options, caller);
  if (!session.ok()) return session.status();
  return CpuProfileToFile(*std::move(file), *std::move(session));
}

CpuProfileToFile::CpuProfileToFile(internal::OutputFile file, CpuProfileSession session)
    : file_(std::move(file)), session_(std::move(session)) {}

// The session must be taken out, not only moved from: who still has one writes a file at its end.
CpuProfileToFile::CpuProfileToFile(CpuProfileToFile&& other) noexcept
    : file_(std::exchange(other.file_, std::nullopt)),
      session_(std::exchange(other.session_, std::nullopt)) {}

CpuProfileToFile& CpuProfileToFile::operator=(CpuProfileToFile&& other) noexcept {
  if (this == &other) return *this;
  Finish();
  file_ = std::exchange(other.file_, std::nullopt);
  session_ = std::exchange(other.session_, std::nullopt);
  return *this;
}

CpuProfileToFile::~CpuProfileToFile() { Finish(); }

void CpuProfileToFile::Finish() noexcept {
  if (!session_.has_value()) return;
  const absl::Status status = Stop();
  if (!status.ok()) {
    std::fprintf(stderr, "curg: no CPU profile: %s\n", status.ToString().c_str());
  }
}

absl::Status CpuProfileToFile::Stop() {
  if (!session_.has_value()) {
    return absl::FailedPreconditionError("this CPU profile was stopped already");
  }
  const CpuProfile profile = std::exchange(session_, std::nullopt)->Stop();
  const absl::StatusOr<std::string> encoded = EncodeWithProgress(profile);
  if (!encoded.ok()) return encoded.status();
  return file_->Commit(*encoded);
}

}  // namespace curg
