// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a pprof message to text, and to sums of it.
#include <cstdint>

#include "export/profile.pb.h"
#include "export/profile_merge.h"
#include "export/profile_text.h"
#include "export/profile_view.h"
#include "google/protobuf/stubs/logging.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const google::protobuf::LogSilencer quiet;
  perftools::profiles::Profile profile;
  if (!profile.ParseFromArray(data, static_cast<int>(size))) return 0;
  (void)curg::MergeProfiles({profile, profile});
  const auto view = curg::ProfileView::Of(profile);
  if (!view.ok()) return 0;
  const int type = view->default_type();
  curg::ProfileTop(*view, {.type = type});
  curg::ProfileTags(*view, {.type = type});
  curg::ProfileTree(*view, {.type = type});
  curg::ProfileFolded(*view, type);
  return 0;
}
