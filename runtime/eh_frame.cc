// SPDX-License-Identifier: Apache-2.0
#include "runtime/eh_frame.h"

#include "runtime/frame_rule.h"

namespace curg::internal {
namespace {

// A record of .eh_frame: its length, then `id` (0 for a CIE, the distance back to it for an FDE).
struct Record {
  const uint8_t* id_at = nullptr;
  const uint8_t* end = nullptr;
  uint32_t id = 0;
};

bool ReadRecord(const EhFrame& module, const uint8_t* at, Record* record) {
  if (at < module.low || at >= module.high) return false;
  DwarfReader reader(at, module.high);
  uint64_t length = reader.U32();
  if (length == 0xffffffff) length = reader.U64();
  if (reader.failed() || length < 4 || length > reader.left()) return false;
  record->id_at = reader.at();
  record->end = reader.at() + length;
  record->id = reader.U32();
  return true;
}

// What the CIE's augmentation string says about itself and its FDEs.
struct Augmentation {
  bool has_data = false;
  uint8_t pointer_encoding = kPointerAbsolute;
  bool signal_frame = false;
};

// Reads the augmentation data that `letters` announce, up to the instructions.
bool ReadAugmentation(const uint8_t* letters, DwarfReader& reader, Augmentation* augmentation) {
  if (*letters == 0) return true;
  if (*letters != 'z') return false;
  augmentation->has_data = true;
  const uint64_t length = reader.Uleb();
  if (length > reader.left()) return false;
  DwarfReader data(reader.at(), reader.at() + length);
  for (++letters; *letters != 0; ++letters) {
    switch (*letters) {
      case 'R':
        augmentation->pointer_encoding = data.U8();
        break;
      case 'P':
        data.Pointer(data.U8() & ~kPointerIndirect);
        break;
      case 'L':
        data.U8();
        break;
      case 'S':
        augmentation->signal_frame = true;
        break;
      default:
        return false;
    }
  }
  reader.Skip(length);
  return !data.failed();
}

bool ParseCie(const EhFrame& module, const uint8_t* cie, SharedEntry* shared) {
  shared->at = nullptr;
  FrameEntry* const entry = &shared->common;
  Record record;
  if (!ReadRecord(module, cie, &record) || record.id != 0) return false;
  DwarfReader reader(record.id_at + 4, record.end);
  const uint8_t version = reader.U8();
  if (version != 1 && version != 3) return false;
  const uint8_t* const letters = reader.at();
  while (reader.U8() != 0) {
  }
  if (reader.failed()) return false;
  entry->code_align = reader.Uleb();
  entry->data_align = reader.Sleb();
  const uint64_t return_address = version == 1 ? reader.U8() : reader.Uleb();
  if (return_address != kDwarfReturnAddress) return false;
  Augmentation augmentation;
  if (!ReadAugmentation(letters, reader, &augmentation)) return false;
  entry->signal_frame = augmentation.signal_frame;
  entry->pointer_encoding = augmentation.pointer_encoding;
  entry->initial = reader.at();
  entry->initial_end = record.end;
  if (reader.failed() || entry->code_align == 0) return false;
  shared->has_data = augmentation.has_data;
  shared->at = cie;
  return true;
}

}  // namespace

bool ParseFrameEntry(const EhFrame& module, const uint8_t* fde, FrameEntry* entry,
                     SharedEntry* shared) noexcept {
  Record record;
  if (!ReadRecord(module, fde, &record) || record.id == 0) return false;
  if (record.id > static_cast<size_t>(record.id_at - module.low)) return false;
  const uint8_t* const cie = record.id_at - record.id;
  if (shared->at != cie && !ParseCie(module, cie, shared)) return false;
  *entry = shared->common;
  DwarfReader reader(record.id_at + 4, record.end);
  entry->pc_begin = reader.Pointer(entry->pointer_encoding);
  entry->pc_end = entry->pc_begin + reader.Pointer(entry->pointer_encoding & 0x0f);
  if (shared->has_data) reader.Skip(reader.Uleb());
  entry->program = reader.at();
  entry->program_end = record.end;
  return !reader.failed() && entry->pc_begin < entry->pc_end;
}

FrameEntryIndex::FrameEntryIndex(const EhFrame& module) noexcept {
  if (module.header == nullptr) return;
  DwarfReader reader(module.header, module.high);
  const uint8_t version = reader.U8();
  const uint8_t frame_encoding = reader.U8();
  const uint8_t count_encoding = reader.U8();
  const uint8_t table_encoding = reader.U8();
  const auto base = reinterpret_cast<uintptr_t>(module.header);
  if (version != 1 || table_encoding != (kPointerDataRelative | kPointerSdata4)) return;
  if (count_encoding == kPointerOmitted) return;
  reader.Pointer(frame_encoding, base);
  const uint64_t count = reader.Pointer(count_encoding, base);
  if (reader.failed() || count > reader.left() / 8) return;
  header_ = module.header;
  table_ = reader.at();
  size_ = count;
}

const uint8_t* FrameEntryIndex::operator[](size_t i) const noexcept {
  DwarfReader reader(table_ + 8 * i + 4, table_ + 8 * i + 8);
  return header_ + static_cast<int32_t>(reader.U32());
}

const uint8_t* FrameEntryIndex::Find(uintptr_t pc) const noexcept {
  const auto target = static_cast<int64_t>(pc - reinterpret_cast<uintptr_t>(header_));
  size_t low = 0;  // all before it begin at or before pc; all from `high` on begin behind it
  size_t high = size_;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    DwarfReader reader(table_ + 8 * middle, table_ + 8 * middle + 4);
    if (static_cast<int32_t>(reader.U32()) <= target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == 0 ? nullptr : (*this)[low - 1];
}

}  // namespace curg::internal
