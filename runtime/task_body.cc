// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_body.h"

namespace curg::internal {

using ExceptionCell = BodyCell<std::exception_ptr>;
static_assert(ExceptionCell::kInline, "keeping an exception must not fail");

void DropException(TaskBody& body, TaskBody::Step step) noexcept {
  ExceptionCell::Drop(body, step);
}

// A value is there if the callable's destructor has thrown.
void KeepException(TaskBody& body, std::exception_ptr exception) noexcept {
  body.Drop();
  ExceptionCell::Emplace(body, std::move(exception));
  body.step = &DropException;
}

void RethrowException(TaskBody& body) { std::rethrow_exception(ExceptionCell::Take(body)); }

}  // namespace curg::internal
