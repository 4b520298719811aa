// SPDX-License-Identifier: Apache-2.0
//
// SampleBatch: the records that the writer took from one prof buffer at a time, until they are
// weighed (thread_credit.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "profiler/prof_buf.h"

namespace curg::internal {

// Thread-compatible. Holds one reference on each record's tag.
class SampleBatch {
 public:
  struct Record {
    ProfHeader header;
    size_t first_pc = 0;
    size_t depth = 0;
  };

  SampleBatch() = default;
  ~SampleBatch() { Clear(); }
  SampleBatch(const SampleBatch&) = delete;
  SampleBatch& operator=(const SampleBatch&) = delete;

  // Takes all there is in `buffer` instead of what it held, and leaves that empty. As
  // ProfBuf::Read.
  void Read(ProfBuf& buffer);

  std::span<const Record> records() const { return records_; }
  std::span<const uintptr_t> PcsOf(const Record& record) const {
    return std::span(pcs_).subspan(record.first_pc, record.depth);
  }

 private:
  void Clear();

  std::vector<Record> records_;
  std::vector<uintptr_t> pcs_;
};

}  // namespace curg::internal
