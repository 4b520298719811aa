// SPDX-License-Identifier: Apache-2.0
#include "tests/export/testdata/inlined.h"

// Writes the address of an instruction that belongs to this line.
#define ADDRESS_OF_THIS_LINE(to) asm volatile("1: lea 1b(%%rip), %0" : "=r"(to))

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ALWAYS_INLINE_LAMBDA __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline, noipa))

namespace testdata {

struct Middle {
  static ALWAYS_INLINE void Innermost(TestdataAddresses* to) {
    ADDRESS_OF_THIS_LINE(to->innermost);  // line: innermost
  }
};

ALWAYS_INLINE void CallMiddle(TestdataAddresses* to) {
  Middle::Innermost(to);             // line: call innermost
  ADDRESS_OF_THIS_LINE(to->middle);  // line: middle
}

namespace {
ALWAYS_INLINE void InlinedLocal(TestdataAddresses* to) {
  ADDRESS_OF_THIS_LINE(to->local);  // line: local
}
}  // namespace

NEVER_INLINE void Outermost(TestdataAddresses* to) {
  CallMiddle(to);    // line: call middle
  InlinedLocal(to);  // line: call local
}

namespace {
NEVER_INLINE void WithLambda(TestdataAddresses* to) {
  [to](int) ALWAYS_INLINE_LAMBDA {
    ADDRESS_OF_THIS_LINE(to->inlined_lambda);  // line: inlined lambda
  }(1);                                        // line: call inlined lambda
}
}  // namespace

template <typename T>
NEVER_INLINE uintptr_t Template(T) {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);  // line: template
  return pc;
}

NEVER_INLINE uintptr_t InLambda() {
  auto lambda = [](int) NEVER_INLINE {
    uintptr_t pc;
    ADDRESS_OF_THIS_LINE(pc);  // line: lambda
    return pc;
  };
  return lambda(1);
}

namespace {

NEVER_INLINE uintptr_t Anonymous() {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);  // line: anonymous
  return pc;
}

struct Callable {
  NEVER_INLINE uintptr_t operator()(int) const {
    uintptr_t pc;
    ADDRESS_OF_THIS_LINE(pc);  // line: operator
    return pc;
  }
};

}  // namespace
}  // namespace testdata

// As C libraries have it: one function, several names, and the debug information knows the one that
// is not for others.
extern "C" __attribute__((visibility("hidden"))) uintptr_t testdata_internal() noexcept
    asm("__GI_testdata_alias");
extern "C" NEVER_INLINE uintptr_t testdata_internal() noexcept {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);  // line: alias
  return pc;
}
extern "C" uintptr_t _testdata_alias() noexcept __attribute__((alias("__GI_testdata_alias")));
extern "C" uintptr_t testdata_alias() noexcept __attribute__((weak, alias("__GI_testdata_alias")));

extern "C" NEVER_INLINE void testdata_addresses(TestdataAddresses* to) {
  testdata::Outermost(to);
  testdata::WithLambda(to);
  to->alias = testdata_internal();
  to->tmpl = testdata::Template<const char*>("x");
  to->lambda = testdata::InLambda();
  to->anonymous = testdata::Anonymous();
  to->op = testdata::Callable()(1);
  ADDRESS_OF_THIS_LINE(to->c);  // line: c
}
