// SPDX-License-Identifier: Apache-2.0
#include "profiler/sample_batch.h"

#include "profiler/prof_buf_memory.h"

namespace curg::internal {

void SampleBatch::Read(ProfBuf& buffer) {
  Clear();
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  while (buffer.ReadOn(header, pcs)) {
    if (header.tag != nullptr) header.tag->ShowAcquire();
    records_.push_back({.header = header, .first_pc = pcs_.size(), .depth = pcs.size()});
    pcs_.insert(pcs_.end(), pcs.begin(), pcs.end());
  }
  GiveBackPages(buffer);
  buffer.Return();
}

void SampleBatch::Clear() {
  for (const Record& record : records_) {
    if (record.header.tag != nullptr) record.header.tag->Unref();
  }
  records_.clear();
  pcs_.clear();
}

}  // namespace curg::internal
