// SPDX-License-Identifier: Apache-2.0
#include "runtime/eh_frame.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/cfi_program.h"
#include "runtime/loaded_modules.h"

namespace curg::internal {
namespace {

// A module in memory: .eh_frame_hdr, a CIE, and FDEs for functions at given distances behind it.
class FakeModule {
 public:
  FakeModule() : bytes_(4096) {}

  uintptr_t base() const { return reinterpret_cast<uintptr_t>(bytes_.data()); }
  uint8_t* at(size_t offset) { return bytes_.data() + offset; }
  EhFrame view() const {
    return {.header = bytes_.data(), .low = bytes_.data(), .high = bytes_.data() + bytes_.size()};
  }

  void Put(size_t offset, std::vector<uint8_t> bytes) {
    std::memcpy(at(offset), bytes.data(), bytes.size());
  }
  void Put32(size_t offset, uint32_t value) { std::memcpy(at(offset), &value, 4); }

  // version 1, augmentation letters "zR" + `more`, alignments 1 and -8, return address 16,
  // pcrel|sdata4.
  void PutCie(size_t offset, const char* more = "") {
    std::vector<uint8_t> body = {0, 0, 0, 0, 1, 'z', 'R'};
    for (const char* letter = more; *letter != 0; ++letter) body.push_back(*letter);
    for (int byte : {0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1}) body.push_back(byte);
    while (body.size() % 4 != 0) body.push_back(0);
    Put32(offset, body.size());
    Put(offset + 4, body);
  }

  void PutFde(size_t offset, size_t cie, uint32_t pc_offset, uint32_t size) {
    Put32(offset, 20);
    Put32(offset + 4, offset + 4 - cie);
    Put32(offset + 8, pc_offset - (offset + 8));  // relative to itself
    Put32(offset + 12, size);
    Put(offset + 16, {0, 0x44, 0x0e, 16, 0, 0, 0, 0});
  }

  void PutHeader(const std::vector<std::pair<uint32_t, uint32_t>>& entries) {
    Put(0, {1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0});
    Put32(8, entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      Put32(12 + 8 * i, entries[i].first);
      Put32(16 + 8 * i, entries[i].second);
    }
  }

 private:
  std::vector<uint8_t> bytes_;
};

constexpr size_t kCie = 128;

bool Parse(const FakeModule& module, const uint8_t* fde, FrameEntry* entry) {
  SharedEntry shared;
  return ParseFrameEntry(module.view(), fde, entry, &shared);
}

TEST(EhFrame, ParsesAnEntry) {
  FakeModule module;
  module.PutCie(kCie);
  module.PutFde(256, kCie, 1024, 64);
  FrameEntry entry;
  ASSERT_TRUE(Parse(module, module.at(256), &entry));
  EXPECT_EQ(entry.pc_begin, module.base() + 1024);
  EXPECT_EQ(entry.pc_end, module.base() + 1088);
  EXPECT_EQ(entry.code_align, 1u);
  EXPECT_EQ(entry.data_align, -8);
  EXPECT_FALSE(entry.signal_frame);
  EXPECT_EQ(entry.program, module.at(256 + 17));
  EXPECT_EQ(entry.program_end, module.at(256 + 24));
}

TEST(EhFrame, SeesSignalFrames) {
  FakeModule module;
  module.PutCie(kCie, "S");
  module.PutFde(256, kCie, 1024, 64);
  FrameEntry entry;
  ASSERT_TRUE(Parse(module, module.at(256), &entry));
  EXPECT_TRUE(entry.signal_frame);
}

TEST(EhFrame, RefusesWhatDoesNotParse) {
  FakeModule module;
  module.PutCie(kCie);
  module.PutFde(256, kCie, 1024, 64);
  FrameEntry entry;
  EXPECT_FALSE(Parse(module, module.at(kCie), &entry)) << "a CIE";
  EXPECT_FALSE(Parse(module, module.at(512), &entry)) << "zeros: the terminator";
  EXPECT_FALSE(Parse(module, module.at(0) - 64, &entry)) << "outside";
  EXPECT_FALSE(Parse(module, module.at(0) + 5000, &entry)) << "outside";
  module.Put32(256, 100000);
  EXPECT_FALSE(Parse(module, module.at(256), &entry)) << "longer than the module";
  module.Put32(256, 20);
  module.Put32(260, 100000);
  EXPECT_FALSE(Parse(module, module.at(256), &entry)) << "CIE before the module";
  module.PutFde(256, kCie, 1024, 0);
  EXPECT_FALSE(Parse(module, module.at(256), &entry)) << "an empty function";
  module.PutFde(256, kCie, 1024, 64);
  *module.at(kCie + 8) = 4;
  EXPECT_FALSE(Parse(module, module.at(256), &entry)) << "an unknown version";
}

TEST(EhFrame, FindsByProgramCounter) {
  FakeModule module;
  module.PutCie(kCie);
  module.PutFde(256, kCie, 1024, 64);
  module.PutFde(288, kCie, 1100, 4);
  module.PutHeader({{1024, 256}, {1100, 288}});
  const FrameEntryIndex index(module.view());
  ASSERT_EQ(index.size(), 2u);
  EXPECT_EQ(index[1], module.at(288));
  EXPECT_EQ(index.Find(module.base() + 1023), nullptr);
  EXPECT_EQ(index.Find(module.base() + 1024), module.at(256));
  EXPECT_EQ(index.Find(module.base() + 1099), module.at(256)) << "though it ends before";
  EXPECT_EQ(index.Find(module.base() + 1100), module.at(288));
  EXPECT_EQ(index.Find(module.base() + 4000), module.at(288));
  FrameRule rule;
  EXPECT_TRUE(FindFrameRule(module.view(), module.base() + 1027, &rule));
  EXPECT_EQ(rule.cfa.offset, 8);
  EXPECT_TRUE(FindFrameRule(module.view(), module.base() + 1028, &rule));
  EXPECT_EQ(rule.cfa.offset, 16);
  EXPECT_FALSE(FindFrameRule(module.view(), module.base() + 1090, &rule)) << "between functions";
  EXPECT_FALSE(FindFrameRule(module.view(), module.base() + 1000, &rule));
}

TEST(EhFrame, AnIndexOfAnotherFormIsEmpty) {
  FakeModule module;
  module.PutHeader({});
  EXPECT_EQ(FrameEntryIndex(module.view()).size(), 0u);
  EXPECT_EQ(FrameEntryIndex(EhFrame{}).size(), 0u);
  EXPECT_EQ(FrameEntryIndex(EhFrame{}).Find(1), nullptr);
  module.PutHeader({{1024, 256}});
  *module.at(3) = 0x1b;  // relative to itself
  EXPECT_EQ(FrameEntryIndex(module.view()).size(), 0u);
  module.PutHeader({{1024, 256}});
  module.Put32(8, 100000);  // more than there is room for
  EXPECT_EQ(FrameEntryIndex(module.view()).size(), 0u);
}

TEST(EhFrame, WhatIsSharedIsThatOfTheEntry) {
  FakeModule module;
  module.PutCie(kCie);
  module.PutCie(kCie + 64, "S");
  module.PutFde(256, kCie, 1024, 64);
  module.PutFde(288, kCie + 64, 1088, 64);
  SharedEntry shared;
  FrameEntry entry;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(ParseFrameEntry(module.view(), module.at(256), &entry, &shared));
    EXPECT_FALSE(entry.signal_frame);
    ASSERT_TRUE(ParseFrameEntry(module.view(), module.at(288), &entry, &shared));
    EXPECT_TRUE(entry.signal_frame);
    EXPECT_EQ(entry.pc_begin, module.base() + 1088);
  }
  // One that does not parse leaves nothing behind.
  module.Put(kCie + 64 + 8, {9});
  shared = {};
  EXPECT_FALSE(ParseFrameEntry(module.view(), module.at(288), &entry, &shared));
  EXPECT_FALSE(ParseFrameEntry(module.view(), module.at(288), &entry, &shared));
}

TEST(EhFrame, EveryEntryOfEveryModuleParsesAndRuns) {
  LoaderGeneration generation;
  size_t entries = 0;
  size_t failures = 0;
  VisitLoadedModules(&generation, [&](const LoadedModule& module) {
    const EhFrame view = module.identity.eh_frame();
    const FrameEntryIndex index(view);
    SharedEntry shared;
    for (size_t i = 0; i < index.size(); ++i) {
      FrameEntry entry;
      ++entries;
      if (!ParseFrameEntry(view, index[i], &entry, &shared)) {
        ++failures;
        continue;
      }
      CfiProgram program(entry);
      uintptr_t begin = 0;
      uintptr_t end = 0;
      uintptr_t covered = entry.pc_begin;
      FrameRule rule;
      while (program.Next(&begin, &end, &rule)) {
        failures += begin == covered ? 0 : 1;
        covered = end;
      }
      failures += program.failed() || covered != entry.pc_end ? 1 : 0;
    }
  });
  EXPECT_GT(entries, 5000u);
  EXPECT_EQ(failures, 0u);
}

}  // namespace
}  // namespace curg::internal
