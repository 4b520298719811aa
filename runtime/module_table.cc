// SPDX-License-Identifier: Apache-2.0
#include "runtime/module_table.h"

#include <algorithm>

#include "runtime/cfi_program.h"
#include "runtime/eh_frame.h"
#include "runtime/fcontext_rows.h"
#include "runtime/init_rows.h"

namespace curg::internal {

// Collects rows in ascending order.
class ModuleTableBuilder {
 public:
  ModuleTableBuilder(uintptr_t begin, uintptr_t end) : table_(new ModuleTable) {
    table_->begin_ = begin;
    table_->size_ = end - begin;
    table_->rows_.push_back({});
  }

  // From `pc` on `rule` holds, whatever was said before.
  void Append(uintptr_t pc, const FrameRule& rule) { AppendWord(pc, WordFor(rule)); }

  // From `pc` on nothing is known.
  void AppendNone(uintptr_t pc) { AppendWord(pc, UnwindWord()); }

  // Everything the module's exception tables say, and rows for known code that they leave out.
  void AppendModule(const LoadedModule& module);

  std::unique_ptr<const ModuleTable> Finish() && {
    table_->Seal();
    return std::move(table_);
  }

 private:
  // Functions are aligned to 16 bytes, and what fills the gaps is never executed: a row that ends
  // there may as well go on.
  static constexpr uintptr_t kPadding = 16;
  // More than compilers make on average: then the rows are written once, and where they stay.
  static constexpr size_t kRowsForEntry = 16;
  // Side rules come in runs of the same few.
  static constexpr size_t kSideSearch = 64;

  UnwindWord WordFor(const FrameRule& rule);
  void AppendWord(uintptr_t pc, UnwindWord word);
  void AppendEntry(const FrameEntry& entry);
  void AppendThrower(const FrameEntry& entry);
  void AppendGap(const LoadedModule& module, uintptr_t begin, uintptr_t end);
  void AppendUncovered(uintptr_t begin, uintptr_t end);
  uintptr_t AppendInit(uintptr_t begin, uintptr_t pc, uintptr_t end);

  std::unique_ptr<ModuleTable> table_;
};

UnwindWord ModuleTableBuilder::WordFor(const FrameRule& rule) {
  UnwindWord word;
  if (UnwindWord::Encode(rule, &word)) return word;
  std::vector<FrameRule>& side = table_->side_;
  const size_t first = side.size() - std::min(side.size(), kSideSearch);
  size_t i = std::find(side.begin() + first, side.end(), rule) - side.begin();
  if (i > UnwindWord::kSideMax) return UnwindWord();
  if (i == side.size()) side.push_back(rule);
  return UnwindWord::Side(static_cast<uint32_t>(i));
}

void ModuleTableBuilder::AppendWord(uintptr_t pc, UnwindWord word) {
  if (!table_->Contains(pc)) return;
  std::vector<UnwindRow>& rows = table_->rows_;
  const auto offset = static_cast<uint32_t>(pc - table_->begin_);
  // Entries overlap where one begins a byte early, as __restore_rt's does: the later one wins.
  while (!rows.empty() && rows.back().pc >= offset) rows.pop_back();
  if (rows.empty() || rows.back().word != word) rows.push_back({offset, word});
}

void ModuleTableBuilder::AppendEntry(const FrameEntry& entry) {
  CfiProgram program(entry);
  uintptr_t begin = entry.pc_begin;
  uintptr_t end = entry.pc_begin;
  FrameRule rule;
  bool framed = false;  // by rbp
  bool throws = false;
  while (program.Next(&begin, &end, &rule)) {
    Append(begin, rule);
    framed = framed || rule.cfa.reg == kDwarfRbp;
    throws = throws || (rule.return_address.kind == ValueRule::Kind::kRegister && framed &&
                        rule.cfa.reg == kDwarfRsp);
  }
  if (program.failed()) return AppendNone(end);
  if (throws) AppendThrower(entry);
}

// A function with a frame that ends by a jump to where a register says: libgcc's that throw,
// compiled with __builtin_eh_return. At that end the new stack pointer is in another register, then
// in rsp, and the caller is where the throw goes on.
void ModuleTableBuilder::AppendThrower(const FrameEntry& entry) {
  CfiProgram program(entry);
  uintptr_t begin = 0;
  uintptr_t end = 0;
  FrameRule rule;
  bool leaves = false;
  while (program.Next(&begin, &end, &rule)) {
    rule.throws = rule.cfa.reg == kDwarfRbp;
    leaves = !rule.throws && (leaves || rule.cfa.reg != kDwarfRsp);
    rule.enters_caller = leaves;
    Append(begin, rule);
  }
}

void ModuleTableBuilder::AppendModule(const LoadedModule& module) {
  table_->identity_ = module.identity;
  table_->mark_ = module.mark;
  table_->permanent_ = module.permanent;
  const EhFrame eh_frame = module.identity.eh_frame();
  const FrameEntryIndex index(eh_frame);
  uintptr_t covered = table_->begin_;
  // Address space, not memory: what is not written to is never there.
  table_->rows_.reserve(1 + kRowsForEntry * index.size());
  SharedEntry shared;
  for (size_t i = 0; i < index.size(); ++i) {
    FrameEntry entry;
    if (!ParseFrameEntry(eh_frame, index[i], &entry, &shared)) continue;
    AppendGap(module, covered, entry.pc_begin);
    AppendEntry(entry);
    covered = std::max(covered, entry.pc_end);
  }
  AppendGap(module, covered, table_->begin_ + table_->size_);
}

void ModuleTableBuilder::AppendGap(const LoadedModule& module, uintptr_t begin, uintptr_t end) {
  const std::vector<uintptr_t>& init = module.init_functions;
  const auto first = std::lower_bound(init.begin(), init.end(), begin);
  const bool executed = first != init.end() && *first < end;
  if (end < begin + kPadding && !executed) return;
  AppendNone(begin);
  for (const LoadedModule::Text& text : module.text) {
    uintptr_t from = std::max(begin, text.begin);
    const uintptr_t to = std::min(end, text.end);
    for (const uintptr_t pc : init) {
      if (pc < from || pc >= to) continue;
      AppendUncovered(from, pc);
      from = AppendInit(from, pc, to);
    }
    AppendUncovered(from, to);
  }
}

// Returns where the rows for the function at `pc`, one of the start files', end.
uintptr_t ModuleTableBuilder::AppendInit(uintptr_t begin, uintptr_t pc, uintptr_t end) {
  InitRows init;
  if (!FindInitRows(begin, pc, end, &init)) return pc;
  for (const InitRow& row : init.rows) Append(row.pc, row.rule);
  AppendNone(init.end);
  return init.end;
}

void ModuleTableBuilder::AppendUncovered(uintptr_t begin, uintptr_t end) {
  while (begin < end) {
    uintptr_t at = 0;
    const FcontextFunction* function = FindFcontextFunction(begin, end, &at);
    if (function == nullptr) return;
    for (const FcontextRow& row : function->rows) Append(at + row.offset, row.rule);
    begin = at + function->code.size();
    AppendNone(begin);
  }
}

std::unique_ptr<const ModuleTable> ModuleTable::Compile(const LoadedModule& module) {
  const uintptr_t begin = module.text.front().begin;
  const uintptr_t end = module.text.back().end;
  if (end - begin > UINT32_MAX) return nullptr;
  if (module.mark.at == nullptr && !module.permanent) return nullptr;
  ModuleTableBuilder builder(begin, end);
  builder.AppendModule(module);
  return std::move(builder).Finish();
}

std::unique_ptr<const ModuleTable> ModuleTable::FromRules(const std::vector<PlacedRule>& rules,
                                                          uintptr_t end) {
  ModuleTableBuilder builder(rules.front().pc, end);
  for (const PlacedRule& placed : rules) builder.Append(placed.pc, placed.rule);
  return std::move(builder).Finish();
}

void ModuleTable::Seal() {
  side_.shrink_to_fit();
  const size_t bucket_count = (size_ >> kBucketBits) + 2;
  buckets_.reserve(bucket_count);
  size_t row = 0;
  for (size_t bucket = 0; bucket < bucket_count; ++bucket) {
    const uint64_t first = uint64_t{bucket} << kBucketBits;
    while (row + 1 < rows_.size() && rows_[row + 1].pc <= first) ++row;
    buckets_.push_back(static_cast<uint32_t>(row));
  }
  row_data_ = rows_.data();
  bucket_data_ = buckets_.data();
  side_data_ = side_.data();
}

[[gnu::hot]] UnwindWord ModuleTable::Find(uintptr_t pc) const noexcept {
  const auto offset = static_cast<uint32_t>(pc - begin_);
  const uint32_t bucket = offset >> kBucketBits;
  uint32_t low = bucket_data_[bucket];       // holds at or before pc
  uint32_t high = bucket_data_[bucket + 1];  // the last that may
  while (low < high) {
    const uint32_t middle = low + (high - low + 1) / 2;
    if (row_data_[middle].pc <= offset) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return row_data_[low].word;
}

bool ModuleTable::IsOf(const LoadedModule& module) const {
  return identity_ == module.identity && mark_ == module.mark;
}

bool ModuleTable::IsCurrent(const ModuleIdentity& loaded) const noexcept {
  return identity_ == loaded && (permanent_ || mark_.Holds());
}

size_t ModuleTable::memory() const {
  return sizeof(*this) + rows_.size() * sizeof(UnwindRow) + buckets_.capacity() * sizeof(uint32_t) +
         side_.capacity() * sizeof(FrameRule);
}

}  // namespace curg::internal
