// SPDX-License-Identifier: Apache-2.0
#include "export/progress_frames.h"

#include <chrono>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Empty final : public FrameSource {
 public:
  const std::vector<Frame>& FramesAt(uintptr_t) override { return none_; }

 private:
  std::vector<Frame> none_;
};

std::vector<std::string> Said(std::chrono::nanoseconds patience) {
  std::vector<std::string> said;
  Empty empty;
  {
    ProgressFrames frames(
        empty, 3, [&](const std::string& line) { said.push_back(line); }, patience);
    for (uintptr_t address = 0; address < 3; ++address) frames.FramesAt(address);
  }
  return said;
}

TEST(ProgressFramesTest, SaysNothingUnlessItTakesLong) {
  EXPECT_THAT(Said(std::chrono::hours(1)), IsEmpty());
  EXPECT_THAT(Said(std::chrono::nanoseconds(0)),
              ElementsAre("looking up symbols: 0 of 3 addresses", ""));
}

TEST(ProgressFramesTest, CountsAddressesOnce) {
  CpuProfile profile;
  profile.entries.resize(2);
  profile.entries[0].pcs = {1, 2, 3};
  profile.entries[1].pcs = {3, 4};
  EXPECT_EQ(AddressCount(profile), 4u);
}

}  // namespace
}  // namespace curg::internal
