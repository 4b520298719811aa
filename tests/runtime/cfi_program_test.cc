// SPDX-License-Identifier: Apache-2.0
//
// Literal bytes in, rows out.
#include "runtime/cfi_program.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using Bytes = std::vector<uint8_t>;
using Kind = ValueRule::Kind;

constexpr uintptr_t kBegin = 0x1000;
constexpr uintptr_t kEnd = 0x1100;

struct Row {
  uintptr_t begin;
  uintptr_t end;
  FrameRule rule;
};

// DW_CFA_def_cfa rsp, 8; DW_CFA_offset rip, CFA - 8: how every function begins.
const Bytes kInitial = {0x0c, 7, 8, 0x90, 1};

struct Outcome {
  std::vector<Row> rows;
  bool failed = false;
};

Outcome RunCfi(const Bytes& program, const Bytes& initial = kInitial) {
  FrameEntry entry;
  entry.pc_begin = kBegin;
  entry.pc_end = kEnd;
  entry.data_align = -8;
  entry.initial = initial.data();
  entry.initial_end = initial.data() + initial.size();
  entry.program = program.data();
  entry.program_end = program.data() + program.size();
  entry.pointer_encoding = kPointerAbsolute;
  CfiProgram cfi(entry);
  Outcome outcome;
  Row row{};
  while (cfi.Next(&row.begin, &row.end, &row.rule)) outcome.rows.push_back(row);
  outcome.failed = cfi.failed();
  return outcome;
}

// The rule after `program`, which must not move.
FrameRule RuleAfter(const Bytes& program) {
  const Outcome outcome = RunCfi(program);
  EXPECT_FALSE(outcome.failed);
  EXPECT_EQ(outcome.rows.size(), 1u);
  return outcome.rows.empty() ? FrameRule{} : outcome.rows[0].rule;
}

CfaRule Cfa(uint8_t reg, int32_t offset) {
  return {.kind = CfaRule::Kind::kRegister, .reg = reg, .offset = offset};
}

constexpr ValueRule AtCfa(int32_t offset) { return {Kind::kAtCfa, 0, offset}; }
constexpr ValueRule IsCfa(int32_t offset) { return {Kind::kIsCfa, 0, offset}; }

TEST(CfiProgram, AnEmptyProgramIsOneRow) {
  const Outcome outcome = RunCfi({});
  ASSERT_EQ(outcome.rows.size(), 1u);
  EXPECT_EQ(outcome.rows[0].begin, kBegin);
  EXPECT_EQ(outcome.rows[0].end, kEnd);
  EXPECT_EQ(outcome.rows[0].rule.cfa, Cfa(kDwarfRsp, 8));
  EXPECT_EQ(outcome.rows[0].rule.return_address, AtCfa(-8));
  EXPECT_EQ(outcome.rows[0].rule.rsp, IsCfa(0));
  EXPECT_EQ(outcome.rows[0].rule.rbp, ValueRule{});
}

TEST(CfiProgram, AdvancesSplitRows) {
  // push %rbp; mov %rsp,%rbp; ... pop %rbp; ret, with each width of advance.
  const Outcome outcome = RunCfi({0x41, 0x0e, 16,   0x86, 2,  // +1: def_cfa_offset 16, rbp at -16
                                  0x02, 3,    0x0d, 6,        // +3: def_cfa_register rbp
                                  0x03, 0x10, 0x00, 0x0c, 7, 8,           // +16: def_cfa rsp 8
                                  0x04, 0x20, 0,    0,    0, 0x0e, 24});  // +32
  ASSERT_EQ(outcome.rows.size(), 5u);
  EXPECT_FALSE(outcome.failed);
  const uintptr_t begins[] = {kBegin, kBegin + 1, kBegin + 4, kBegin + 20, kBegin + 52};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(outcome.rows[i].begin, begins[i]);
  for (size_t i = 0; i + 1 < 5; ++i) EXPECT_EQ(outcome.rows[i].end, begins[i + 1]);
  EXPECT_EQ(outcome.rows[4].end, kEnd);
  EXPECT_EQ(outcome.rows[0].rule.cfa, Cfa(kDwarfRsp, 8));
  EXPECT_EQ(outcome.rows[1].rule.cfa, Cfa(kDwarfRsp, 16));
  EXPECT_EQ(outcome.rows[1].rule.rbp, AtCfa(-16));
  EXPECT_EQ(outcome.rows[2].rule.cfa, Cfa(kDwarfRbp, 16));
  EXPECT_EQ(outcome.rows[3].rule.cfa, Cfa(kDwarfRsp, 8));
  EXPECT_EQ(outcome.rows[4].rule.cfa, Cfa(kDwarfRsp, 24));
}

TEST(CfiProgram, SetLocMovesToAnAddress) {
  const Outcome outcome = RunCfi({0x01, 0x80, 0x10, 0, 0, 0, 0, 0, 0, 0x0e, 32});
  ASSERT_EQ(outcome.rows.size(), 2u);
  EXPECT_EQ(outcome.rows[1].begin, 0x1080u);
  EXPECT_EQ(outcome.rows[1].rule.cfa, Cfa(kDwarfRsp, 32));
}

TEST(CfiProgram, AnAdvanceByNothingMakesNoRow) {
  const Outcome outcome = RunCfi({0x40, 0x0e, 16});
  ASSERT_EQ(outcome.rows.size(), 1u);
  EXPECT_EQ(outcome.rows[0].rule.cfa, Cfa(kDwarfRsp, 16));
}

TEST(CfiProgram, AnAdvanceBehindTheEndEndsThere) {
  const Outcome outcome = RunCfi({0x03, 0xff, 0x7f, 0x0e, 16});
  ASSERT_EQ(outcome.rows.size(), 1u);
  EXPECT_EQ(outcome.rows[0].end, kEnd);
}

TEST(CfiProgram, CfaInstructions) {
  EXPECT_EQ(RuleAfter({0x0c, 10, 0}).cfa, Cfa(10, 0));                // def_cfa r10, 0
  EXPECT_EQ(RuleAfter({0x12, 6, 0x7e}).cfa, Cfa(kDwarfRbp, 16));      // def_cfa_sf rbp, -2 * -8
  EXPECT_EQ(RuleAfter({0x0d, 6}).cfa, Cfa(kDwarfRbp, 8));             // def_cfa_register
  EXPECT_EQ(RuleAfter({0x0e, 0x80, 0x02}).cfa, Cfa(kDwarfRsp, 256));  // def_cfa_offset, two bytes
  EXPECT_EQ(RuleAfter({0x13, 0x7c}).cfa, Cfa(kDwarfRsp, 32));         // def_cfa_offset_sf -4
}

TEST(CfiProgram, RegisterInstructions) {
  EXPECT_EQ(RuleAfter({0x83, 3}).rbx, AtCfa(-24));       // offset
  EXPECT_EQ(RuleAfter({0x05, 3, 4}).rbx, AtCfa(-32));    // offset_extended
  EXPECT_EQ(RuleAfter({0x11, 3, 0x7d}).rbx, AtCfa(24));  // offset_extended_sf -3
  EXPECT_EQ(RuleAfter({0x2f, 3, 5}).rbx, AtCfa(40));     // GNU_negative_offset_extended
  EXPECT_EQ(RuleAfter({0x14, 7, 2}).rsp, IsCfa(-16));    // val_offset
  EXPECT_EQ(RuleAfter({0x15, 7, 0x7e}).rsp, IsCfa(16));  // val_offset_sf
  EXPECT_EQ(RuleAfter({0x07, 16}).return_address, ValueRule{Kind::kUndefined});
  EXPECT_EQ(RuleAfter({0x86, 2, 0x08, 6}).rbp, ValueRule{});                   // same_value
  EXPECT_EQ(RuleAfter({0x09, 7, 8}).rsp, (ValueRule{Kind::kRegister, 8, 0}));  // register
  EXPECT_EQ(RuleAfter({0x86, 2, 0xc6}).rbp, ValueRule{});                      // restore
  EXPECT_EQ(RuleAfter({0x86, 2, 0x06, 6}).rbp, ValueRule{});                   // restore_extended
  EXPECT_EQ(RuleAfter({0x07, 16, 0xd0}).return_address, AtCfa(-8));  // restore to the CIE's rule
}

TEST(CfiProgram, RegistersThatWalksDoNotFollowAreIgnored) {
  EXPECT_EQ(RuleAfter({0x8c, 2, 0x05, 15, 3, 0x07, 1, 0x2e, 0x10, 0x00}), RuleAfter({}));
}

TEST(CfiProgram, RememberedStatesNest) {
  const Outcome outcome = RunCfi({0x0e, 16, 0x0a, 0x86, 2, 0x0e, 32, 0x0a, 0x0c, 7, 8, 0xc6,  //
                                  0x41, 0x0b, 0x41, 0x0b, 0x41});
  ASSERT_FALSE(outcome.failed);
  ASSERT_GE(outcome.rows.size(), 3u);
  EXPECT_EQ(outcome.rows[0].rule.cfa, Cfa(kDwarfRsp, 8));
  EXPECT_EQ(outcome.rows[0].rule.rbp, ValueRule{});
  EXPECT_EQ(outcome.rows[1].rule.cfa, Cfa(kDwarfRsp, 32));
  EXPECT_EQ(outcome.rows[1].rule.rbp, AtCfa(-16));
  EXPECT_EQ(outcome.rows[2].rule.cfa, Cfa(kDwarfRsp, 16));
  EXPECT_EQ(outcome.rows[2].rule.rbp, ValueRule{});
}

TEST(CfiProgram, CfaExpressions) {
  // The lazy PLT: rsp + 8 + ((rip & 15) >= 11) << 3.
  const CfaRule plt =
      RuleAfter({0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}).cfa;
  EXPECT_EQ(plt, (CfaRule{.kind = CfaRule::Kind::kPlt, .reg = 11}));
  // With endbr64: >= 10.
  const CfaRule ibt =
      RuleAfter({0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22}).cfa;
  EXPECT_EQ(ibt, (CfaRule{.kind = CfaRule::Kind::kPlt, .reg = 10}));
  // A realigned function: *(rbp - 40).
  const CfaRule realigned = RuleAfter({0x0f, 3, 0x76, 0x58, 0x06}).cfa;
  EXPECT_EQ(realigned,
            (CfaRule{.kind = CfaRule::Kind::kAtRegister, .reg = kDwarfRbp, .offset = -40}));
  // OpenSSL: *(rsp + 152) + 8.
  const CfaRule openssl = RuleAfter({0x0f, 6, 0x77, 0x98, 0x01, 0x06, 0x23, 8}).cfa;
  EXPECT_EQ(
      openssl,
      (CfaRule{.kind = CfaRule::Kind::kAtRegister, .reg = kDwarfRsp, .offset = 152, .addend = 8}));
  EXPECT_EQ(RuleAfter({0x0f, 2, 0x77, 16}).cfa, Cfa(kDwarfRsp, 16));
  // rsp + 8 + r9 * 8: no form for it, and no guess.
  EXPECT_EQ(RuleAfter({0x0f, 7, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22}).cfa, CfaRule{});
}

TEST(CfiProgram, RegisterExpressions) {
  // expression: saved at rbp + 0, at rsp + 168, at CFA + 8 - 24.
  EXPECT_EQ(RuleAfter({0x10, 6, 2, 0x76, 0}).rbp, (ValueRule{Kind::kAtRegister, kDwarfRbp, 0}));
  EXPECT_EQ(RuleAfter({0x10, 16, 3, 0x77, 0xa8, 0x01}).return_address,
            (ValueRule{Kind::kAtRegister, kDwarfRsp, 168}));
  EXPECT_EQ(RuleAfter({0x10, 3, 5, 0x23, 8, 0x08, 24, 0x1c}).rbx, AtCfa(-16));
  // val_expression: is rsp + 16, is *(rbp + 8).
  EXPECT_EQ(RuleAfter({0x16, 7, 2, 0x77, 16}).rsp, (ValueRule{Kind::kRegister, kDwarfRsp, 16}));
  EXPECT_EQ(RuleAfter({0x16, 7, 3, 0x76, 8, 0x06}).rsp,
            (ValueRule{Kind::kAtRegister, kDwarfRbp, 8}));
  EXPECT_EQ(RuleAfter({0x10, 6, 3, 0x76, 0, 0x06}).rbp, ValueRule{Kind::kUnknown});
}

TEST(CfiProgram, NonsenseFailsButKeepsEarlierRows) {
  for (const Bytes& nonsense : {Bytes{0x3f}, Bytes{0x0b}, Bytes{0x0e}, Bytes{0x0f, 9, 0x77},
                                Bytes{0x04, 1}, Bytes{0x0e, 0x80}}) {
    Bytes program(3 + nonsense.size());
    const uint8_t sense[] = {0x0e, 16, 0x44};
    std::copy(std::begin(sense), std::end(sense), program.begin());
    std::copy(nonsense.begin(), nonsense.end(), program.begin() + 3);
    const Outcome outcome = RunCfi(program);
    EXPECT_TRUE(outcome.failed);
    ASSERT_EQ(outcome.rows.size(), 1u);
    EXPECT_EQ(outcome.rows[0].end, kBegin + 4);
  }
  EXPECT_TRUE(RunCfi(Bytes(9, 0x0a)).failed);  // remembers too much
  EXPECT_TRUE(RunCfi({}, {0x41}).failed);      // a CIE that moves
}

}  // namespace
}  // namespace curg::internal
