// SPDX-License-Identifier: Apache-2.0
//
// A pprof file in the terminal: top functions, labels, the call tree, and folded stacks. Pure
// functions.
#pragma once

#include <cstddef>
#include <string>

#include "export/profile_view.h"

namespace curg {

struct ProfileTextOptions {
  int type = 0;             // of ProfileView::types()
  size_t width = 100;       // columns a line may take
  size_t rows_max = 30;     // more are summed up in one line
  double share_min = 0.01;  // of the tree: what is less than this share of all is summed up
};

// flat, cum and their shares for each function, the largest first. Thread-safe, as are the others.
std::string ProfileTop(const ProfileView& view, const ProfileTextOptions& options);

// For each label, its values with what they add up to.
std::string ProfileTags(const ProfileView& view, const ProfileTextOptions& options);

// Who called what, from the roots, the largest first.
std::string ProfileTree(const ProfileView& view, const ProfileTextOptions& options);

// One line a stack, root first, for flame graph tools ("main;Serve;Parse 12"), the largest first.
// In names, ";" becomes ":" and a newline a space. Stacks whose values cancel out are left out.
std::string ProfileFolded(const ProfileView& view, int type);

// A value with its unit, short: "1.25s", "340ms", "1.5MB", "12".
std::string ValueText(int64_t value, const std::string& unit);

}  // namespace curg
