// SPDX-License-Identifier: Apache-2.0
#include "tests/export/testdata/inlined.h"

#define CURG_INLINE inline __attribute__((always_inline))
#define CURG_NOINLINE __attribute__((noinline, noipa))

namespace testdata {

// The address of an instruction that belongs to the line this is expanded in.
#define ADDRESS_OF_THIS_LINE(to) \
  do {                           \
    uintptr_t here;              \
    asm volatile("1: lea 1b(%%rip), %0" : "=r"(here)); \
    (to) = here;                 \
  } while (false)

struct Middle {
  static CURG_INLINE void Innermost(uintptr_t* pc) {
    ADDRESS_OF_THIS_LINE(*pc);  // line: innermost
  }
};

static CURG_INLINE void CallMiddle(uintptr_t* pc, uintptr_t* outer_pc) {
  Middle::Innermost(pc);            // line: call innermost
  ADDRESS_OF_THIS_LINE(*outer_pc);  // line: middle
}

CURG_NOINLINE void Outermost(uintptr_t* pc, uintptr_t* outer_pc) {
  CallMiddle(pc, outer_pc);  // line: call middle
}

template <typename T>
CURG_NOINLINE uintptr_t Template(T) {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);
  return pc;
}

uintptr_t InTemplate() { return Template<const char*>("x"); }

uintptr_t InLambda() {
  auto lambda = [](int) CURG_NOINLINE {
    uintptr_t pc;
    ADDRESS_OF_THIS_LINE(pc);
    return pc;
  };
  return lambda(1);
}

namespace {

CURG_NOINLINE uintptr_t Anonymous() {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);
  return pc;
}

struct Callable {
  CURG_NOINLINE uintptr_t operator()(int) const {
    uintptr_t pc;
    ADDRESS_OF_THIS_LINE(pc);
    return pc;
  }
};

}  // namespace

uintptr_t InAnonymous() { return Anonymous(); }
uintptr_t InOperator() { return Callable()(1); }

extern "C" CURG_NOINLINE uintptr_t testdata_in_c() {
  uintptr_t pc;
  ADDRESS_OF_THIS_LINE(pc);
  return pc;
}

}  // namespace testdata
