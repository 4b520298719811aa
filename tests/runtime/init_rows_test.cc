// SPDX-License-Identifier: Apache-2.0
#include "runtime/init_rows.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

class InitRowsTest : public testing::Test {
 protected:
  bool Find(std::vector<uint8_t> code, size_t at = 0) {
    code_ = std::move(code);
    const uintptr_t begin = Address(0);
    return FindInitRows(begin, begin + at, begin + code_.size(), &rows_);
  }

  uintptr_t Address(size_t offset) const {
    return reinterpret_cast<uintptr_t>(code_.data()) + offset;
  }

  void ExpectRow(size_t i, uintptr_t offset, int32_t cfa) const {
    EXPECT_EQ(rows_.rows[i].pc, Address(offset)) << i;
    EXPECT_EQ(rows_.rows[i].rule.cfa.reg, kDwarfRsp) << i;
    EXPECT_EQ(rows_.rows[i].rule.cfa.offset, cfa) << i;
  }

  std::vector<uint8_t> code_;
  InitRows rows_;
};

TEST_F(InitRowsTest, CallsBetweenTwoAdjustments) {
  ASSERT_TRUE(Find({0x48, 0x83, 0xec, 0x08,                       // sub $8,%rsp
                    0xe8, 0x01, 0x02, 0x03, 0x04,                 // call
                    0x48, 0x83, 0xc4, 0x08, 0xc3, 0xcc, 0xcc}));  // add $8,%rsp; ret
  ExpectRow(0, 0, 8);
  ExpectRow(1, 4, 16);
  ExpectRow(2, 13, 8);
  EXPECT_EQ(rows_.end, Address(14));
}

TEST_F(InitRowsTest, WithALandingForIndirectBranches) {
  ASSERT_TRUE(Find({0xf3, 0x0f, 0x1e, 0xfa,           // endbr64
                    0x48, 0x83, 0xec, 0x08,           // sub $8,%rsp
                    0x48, 0x83, 0xc4, 0x08, 0xc3}));  // add $8,%rsp; ret
  ExpectRow(0, 0, 8);
  ExpectRow(1, 8, 16);
  ExpectRow(2, 12, 8);
}

TEST_F(InitRowsTest, TheDestructorsOfStaticObjects) {
  std::vector<uint8_t> code = {0xf3, 0x0f, 0x1e, 0xfa,              // endbr64
                               0x80, 0x3d, 1,    2,    3,    0, 0,  // cmpb $0,completed(%rip)
                               0x75, 0x0f,                          // jne, behind the ret
                               0x55,                                // push %rbp
                               0xe8, 0x01, 0x02, 0x03, 0x04,        // call
                               0xc6, 0x05, 1,    2,    3,    0, 1,  // movb $1,completed(%rip)
                               0x5d, 0xc3, 0xc3};                   // pop %rbp; ret; ret
  ASSERT_TRUE(Find(code));
  ExpectRow(0, 0, 8);
  ExpectRow(1, 14, 16);
  ExpectRow(2, 27, 8);
  EXPECT_EQ(rows_.rows[1].rule.rbp, (ValueRule{ValueRule::Kind::kAtCfa, 0, -16}));
  EXPECT_EQ(rows_.end, Address(29));

  code.insert(code.begin(), 0x70, 0x90);  // what is before it is not what it should be
  ASSERT_TRUE(Find(code, 0x70));
  ExpectRow(0, 0x70, 8);
  code[0] = 0x48;
  code[1] = 0x8d;
  code[2] = 0x3d;  // lea ...(%rip),%rdi
  ASSERT_TRUE(Find(code, 0x70));
  ExpectRow(0, 0, 8);
  ExpectRow(1, 0x70 + 14, 16);
}

TEST_F(InitRowsTest, AnotherFormIsNotRecognised) {
  EXPECT_FALSE(Find({}));
  EXPECT_FALSE(Find({0xc3}));
  EXPECT_FALSE(Find({0x55, 0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08, 0xc3}));
  EXPECT_FALSE(Find({0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08}));  // no end
  EXPECT_FALSE(Find({0x80, 0x3d, 1, 2, 3, 0, 0, 0x75, 0x0f, 0x55, 0xc3}));
  EXPECT_FALSE(Find({0x80, 0x3d, 1, 2, 3, 0, 0, 0x75, 0x0f, 0x53, 0xc3}));
}

}  // namespace
}  // namespace curg::internal
