// SPDX-License-Identifier: Apache-2.0
//
// From a pprof message to what the flame graph page shows. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "export/profile.pb.h"
#include "export/web/flame.pb.h"

namespace curg {

// Samples of equal stacks and labels are one; inlined functions are frames. What has no name is
// "0x1234 (library.so)". Thread-safe.
web::FlameGraph BuildFlameGraph(const perftools::profiles::Profile& profile);

// The same as JSON (flame.proto, in lowerCamelCase; what is empty is there too).
std::string FlameGraphJson(const perftools::profiles::Profile& profile);

// The page (export/web/): HTML with its style and script. As it is, it asks flame.json beside it
// for a profile; with `profile`, it is a document on its own that shows that one. It loads nothing
// from elsewhere.
std::string_view FlamePage();
std::string FlamePageOf(const perftools::profiles::Profile& profile, std::string_view title);

}  // namespace curg
