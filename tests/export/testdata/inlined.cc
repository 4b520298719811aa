// SPDX-License-Identifier: Apache-2.0
#include "tests/export/testdata/inlined.h"

// Writes the address of an instruction that belongs to this line.
#define ADDRESS_OF_THIS_LINE(to) asm volatile("1: lea 1b(%%rip), %0" : "=r"(to))

#define ALWAYS_INLINE inline __attribute__((always_inline))
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

extern "C" NEVER_INLINE void testdata_addresses(TestdataAddresses* to) {
  testdata::Outermost(to);
  to->tmpl = testdata::Template<const char*>("x");
  to->lambda = testdata::InLambda();
  to->anonymous = testdata::Anonymous();
  to->op = testdata::Callable()(1);
  ADDRESS_OF_THIS_LINE(to->c);  // line: c
}
