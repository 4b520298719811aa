// SPDX-License-Identifier: Apache-2.0
//
// The system libraries link, are the ones we asked for, and C++20 is on.

#include <boost/context/detail/fcontext.hpp>
#include <boost/version.hpp>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

namespace context = boost::context::detail;

static_assert(__cplusplus >= 202002L);
static_assert(BOOST_VERSION / 100 == 1081);

void ReturnTwice(context::transfer_t from) {
  from = context::jump_fcontext(from.fctx, static_cast<char*>(from.data) + 1);
  context::jump_fcontext(from.fctx, static_cast<char*>(from.data) + 10);
}

TEST(Toolchain, BoostContextSwitches) {
  alignas(16) static char stack[64 << 10];
  char base = 0;
  context::transfer_t to{context::make_fcontext(stack + sizeof(stack), sizeof(stack), ReturnTwice),
                         &base};
  to = context::jump_fcontext(to.fctx, to.data);
  EXPECT_EQ(to.data, &base + 1);
  to = context::jump_fcontext(to.fctx, to.data);
  EXPECT_EQ(to.data, &base + 11);
}

TEST(Toolchain, AbseilLinks) {
  absl::flat_hash_map<std::string, int> counts;
  counts[absl::StrCat("a", 1)] = 7;
  const absl::StatusOr<int> missing = absl::NotFoundError("no such word");
  EXPECT_EQ(counts.at("a1"), 7);
  EXPECT_EQ(missing.status().message(), "no such word");
}

}  // namespace
}  // namespace curg
