// SPDX-License-Identifier: Apache-2.0
#include "export/folded.h"

#include "absl/status/statusor.h"
#include "export/profile.pb.h"
#include "export/profile_builder.h"
#include "export/profile_text.h"
#include "export/profile_view.h"

namespace curg {

std::string FoldedStacks(const CpuProfile& profile, FrameSource& frames) {
  const absl::StatusOr<ProfileView> view = ProfileView::Of(BuildProfile(profile, frames));
  return ProfileFolded(*view, view->default_type());
}

}  // namespace curg
