// SPDX-License-Identifier: Apache-2.0
//
// A small library of functions whose names, lines and inlining are known. symbolize_test builds it
// in several ways; marks in inlined.cc ("// line: innermost") tell it the line numbers.
#pragma once

#include <cstdint>

// Each is the address of an instruction in the function that the comment names.
struct TestdataAddresses {
  uintptr_t innermost;  // Middle::Innermost, inlined into CallMiddle, inlined into Outermost
  uintptr_t middle;     // CallMiddle, inlined into Outermost
  uintptr_t tmpl;       // Template<char const*>
  uintptr_t lambda;     // a lambda of InLambda
  uintptr_t anonymous;  // (anonymous namespace)::Anonymous
  uintptr_t op;         // (anonymous namespace)::Callable::operator()
  uintptr_t local;      // (anonymous namespace)::InlinedLocal, inlined into Outermost
  uintptr_t c;          // testdata_addresses itself
  uintptr_t alias;      // testdata_alias, among other names

  // A lambda of (anonymous namespace)::WithLambda, inlined into that.
  uintptr_t inlined_lambda;
};

extern "C" void testdata_addresses(TestdataAddresses* addresses);
