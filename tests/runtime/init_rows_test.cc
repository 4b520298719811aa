// SPDX-License-Identifier: Apache-2.0
#include "runtime/init_rows.h"

#include <array>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

class InitRowsTest : public testing::Test {
 protected:
  bool Find(const std::vector<uint8_t>& code) {
    begin_ = reinterpret_cast<uintptr_t>(code.data());
    return FindInitRows(begin_, begin_ + code.size(), &rows_);
  }

  void ExpectRow(size_t i, uintptr_t offset, int32_t cfa) const {
    EXPECT_EQ(rows_[i].pc - begin_, offset) << i;
    EXPECT_EQ(rows_[i].rule.cfa.reg, kDwarfRsp) << i;
    EXPECT_EQ(rows_[i].rule.cfa.offset, cfa) << i;
  }

  uintptr_t begin_ = 0;
  std::array<InitRow, 3> rows_;
};

TEST_F(InitRowsTest, TheUsualForm) {
  ASSERT_TRUE(Find({0x48, 0x83, 0xec, 0x08,                       // sub $8,%rsp
                    0xe8, 0x01, 0x02, 0x03, 0x04,                 // call
                    0x48, 0x83, 0xc4, 0x08, 0xc3, 0xcc, 0xcc}));  // add $8,%rsp; ret
  ExpectRow(0, 0, 8);
  ExpectRow(1, 4, 16);
  ExpectRow(2, 13, 8);
}

TEST_F(InitRowsTest, WithALandingForIndirectBranches) {
  ASSERT_TRUE(Find({0xf3, 0x0f, 0x1e, 0xfa,           // endbr64
                    0x48, 0x83, 0xec, 0x08,           // sub $8,%rsp
                    0x48, 0x83, 0xc4, 0x08, 0xc3}));  // add $8,%rsp; ret
  ExpectRow(0, 0, 8);
  ExpectRow(1, 8, 16);
  ExpectRow(2, 12, 8);
}

TEST_F(InitRowsTest, AnotherFormIsNotRecognised) {
  EXPECT_FALSE(Find({}));
  EXPECT_FALSE(Find({0xc3}));
  EXPECT_FALSE(Find({0x55, 0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08, 0xc3}));
  EXPECT_FALSE(Find({0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08}));  // no end
}

}  // namespace
}  // namespace curg::internal
