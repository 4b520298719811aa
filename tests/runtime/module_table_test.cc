// SPDX-License-Identifier: Apache-2.0
#include "runtime/module_table.h"

#include <dlfcn.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/cfi_program.h"
#include "runtime/loaded_modules.h"
#include "runtime/unwind_row.h"

namespace curg::internal {
namespace {

using Kind = ValueRule::Kind;

FrameRule Rule(uint8_t reg, int32_t cfa, int32_t rbp = 0, int32_t rbx = 0) {
  FrameRule rule{.cfa = {.kind = CfaRule::Kind::kRegister, .reg = reg, .offset = cfa},
                 .return_address = {Kind::kAtCfa, 0, -8}};
  if (rbp != 0) rule.rbp = {Kind::kAtCfa, 0, rbp};
  if (rbx != 0) rule.rbx = {Kind::kAtCfa, 0, rbx};
  return rule;
}

TEST(UnwindWord, KeepsWhatFits) {
  const FrameRule rules[] = {
      Rule(kDwarfRsp, 8),
      Rule(kDwarfRsp, 0),
      Rule(kDwarfRsp, 0xffff * 8, -16, -504),
      Rule(kDwarfRbp, 16, -16, -24),
      {.cfa = {.kind = CfaRule::Kind::kPlt, .reg = 11}, .return_address = {Kind::kAtCfa, 0, -8}},
      {.return_address = {Kind::kUndefined}},
  };
  for (const FrameRule& rule : rules) {
    UnwindWord word;
    ASSERT_TRUE(UnwindWord::Encode(rule, &word));
    EXPECT_EQ(word.Decode(), rule);
  }
}

TEST(UnwindWord, LeavesTheRestToTheSideList) {
  std::vector<FrameRule> rules = {
      Rule(kDwarfRsp, 12),           // not a multiple of a word
      Rule(kDwarfRsp, -8),           //
      Rule(kDwarfRsp, 0x10000 * 8),  // too far
      Rule(10, 0),                   // another register
      Rule(kDwarfRsp, 8, -512),      // saved too far away
      Rule(kDwarfRsp, 8, 8),         // or above
  };
  rules.push_back(Rule(kDwarfRsp, 8));
  rules.back().signal_frame = true;
  rules.push_back(Rule(kDwarfRsp, 8));
  rules.back().root_if_returned_to = true;
  rules.push_back(Rule(kDwarfRsp, 8));
  rules.back().rsp = {Kind::kRegister, 8, 0};
  rules.push_back(Rule(kDwarfRsp, 8));
  rules.back().return_address = {Kind::kRegister, 1, 0};
  for (const FrameRule& rule : rules) {
    UnwindWord word;
    EXPECT_FALSE(UnwindWord::Encode(rule, &word));
  }
}

TEST(UnwindWord, WhatCannotBeExpressedIsNone) {
  UnwindWord word(UnwindWord::Kind::kRsp);
  ASSERT_TRUE(UnwindWord::Encode(FrameRule{}, &word));
  EXPECT_EQ(word.kind(), UnwindWord::Kind::kNone);
}

TEST(ModuleTable, RowsHoldFromTheirPcToTheNext) {
  const auto table = ModuleTable::FromRules({{0x1000, Rule(kDwarfRsp, 8)},
                                             {0x1001, Rule(kDwarfRsp, 16)},
                                             {0x10ff, Rule(kDwarfRsp, 24)},
                                             {0x1100, Rule(kDwarfRsp, 32)},
                                             {0x5000, Rule(kDwarfRsp, 40)}},
                                            0x5010);
  const auto offset = [&](uintptr_t pc) { return table->Find(pc).cfa_offset(); };
  EXPECT_EQ(offset(0x1000), 8u);
  EXPECT_EQ(offset(0x1001), 16u);
  EXPECT_EQ(offset(0x10fe), 16u);
  EXPECT_EQ(offset(0x10ff), 24u);
  EXPECT_EQ(offset(0x1100), 32u);
  EXPECT_EQ(offset(0x2fff), 32u);
  EXPECT_EQ(offset(0x4fff), 32u);
  EXPECT_EQ(offset(0x5000), 40u);
  EXPECT_EQ(offset(0x500f), 40u);
  EXPECT_TRUE(table->Contains(0x500f));
  EXPECT_FALSE(table->Contains(0x5010));
  EXPECT_FALSE(table->Contains(0xfff));
}

TEST(ModuleTable, ALaterRuleForTheSamePlaceWins) {
  const auto table = ModuleTable::FromRules(
      {{0x1000, Rule(kDwarfRsp, 8)}, {0x1010, Rule(kDwarfRsp, 16)}, {0x100f, Rule(kDwarfRsp, 24)}},
      0x1100);
  EXPECT_EQ(table->Find(0x100e).cfa_offset(), 8u);
  EXPECT_EQ(table->Find(0x100f).cfa_offset(), 24u);
  EXPECT_EQ(table->Find(0x1010).cfa_offset(), 24u);
}

TEST(ModuleTable, EqualRowsAreOne) {
  const auto table = ModuleTable::FromRules({{0x1000, Rule(kDwarfRsp, 8)},
                                             {0x1010, Rule(kDwarfRsp, 8)},
                                             {0x1020, Rule(10, 0)},
                                             {0x1030, Rule(kDwarfRsp, 8)},
                                             {0x1040, Rule(10, 0)}},
                                            0x1100);
  EXPECT_EQ(table->row_count(), 4u);
  EXPECT_EQ(table->Find(0x1020), table->Find(0x1040));
  EXPECT_EQ(table->Side(table->Find(0x1020)), Rule(10, 0));
}

std::vector<LoadedModule> AllModules() {
  std::vector<LoadedModule> modules;
  LoaderGeneration generation;
  VisitLoadedModules(&generation, [&](const LoadedModule& module) { modules.push_back(module); });
  return modules;
}

// What the word cannot tell apart, a walk does not either.
FrameRule Canonical(const FrameRule& rule) {
  UnwindWord word;
  return UnwindWord::Encode(rule, &word) ? word.Decode() : rule;
}

// The rule that a table gives.
FrameRule RuleIn(const ModuleTable& table, uintptr_t pc) {
  const UnwindWord word = table.Find(pc);
  return word.kind() == UnwindWord::Kind::kSide ? table.Side(word) : word.Decode();
}

// The same without what a table adds for functions that throw.
FrameRule ModulesRuleIn(const ModuleTable& table, uintptr_t pc) {
  FrameRule rule = RuleIn(table, pc);
  rule.throws = false;
  rule.enters_caller = false;
  return Canonical(rule);
}

TEST(ModuleTable, SaysWhatTheModuleSays) {
  std::mt19937_64 random(20);
  size_t compared = 0;
  for (const LoadedModule& module : AllModules()) {
    const auto table = ModuleTable::Compile(module);
    ASSERT_NE(table, nullptr);
    for (int i = 0; i < 20000; ++i) {
      const uintptr_t pc = table->begin() + random() % (table->end() - table->begin());
      FrameRule expected;
      if (!FindFrameRule(module.identity.eh_frame(), pc, &expected)) continue;
      ASSERT_EQ(ModulesRuleIn(*table, pc), Canonical(expected)) << std::hex << pc - table->begin();
      ++compared;
    }
  }
  EXPECT_GT(compared, 50000u);
}

// Its last instruction jumps to where the throw goes on; before, its frame is in rbp.
TEST(ModuleTable, KnowsWhatThrows) {
  const auto thrower = reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "_Unwind_Resume"));
  size_t throwing = 0;
  size_t leaving = 0;
  for (const LoadedModule& module : AllModules()) {
    const auto table = ModuleTable::Compile(module);
    if (!table->Contains(thrower)) continue;
    for (uintptr_t pc = thrower; pc < thrower + 0x100 && pc < table->end(); ++pc) {
      throwing += RuleIn(*table, pc).throws ? 1 : 0;
    }
    for (uintptr_t pc = table->begin(); pc < table->end(); ++pc) {
      const FrameRule rule = RuleIn(*table, pc);
      leaving += rule.enters_caller && rule.return_address.kind == Kind::kRegister ? 1 : 0;
    }
  }
  EXPECT_GT(throwing, 0x80u);
  EXPECT_GT(leaving, 0u);
}

// _init and _fini have no call frame information.
TEST(ModuleTable, KnowsInitAndFini) {
  size_t known = 0;
  for (const LoadedModule& module : AllModules()) {
    const auto table = ModuleTable::Compile(module);
    for (const uintptr_t pc : module.init_functions) {
      ASSERT_TRUE(table->Contains(pc));
      known += RuleIn(*table, pc) == Rule(kDwarfRsp, 8) ? 1 : 0;
    }
  }
  EXPECT_GT(known, 3u);
}

TEST(ModuleTable, IsSmall) {
  size_t text = 0;
  size_t memory = 0;
  for (const LoadedModule& module : AllModules()) {
    const auto table = ModuleTable::Compile(module);
    text += table->end() - table->begin();
    memory += table->memory();
  }
  EXPECT_LT(memory, text / 2);
}

}  // namespace
}  // namespace curg::internal
