// SPDX-License-Identifier: Apache-2.0
//
// A small library with known inlined calls; symbolize_test builds it in several ways. The tests know
// its line numbers by the marks "// line: <name>".
#pragma once

#include <cstdint>

namespace testdata {

// Calls two nested inline functions, of which the inner one writes the address of its own
// instruction to `*pc`, as does the outer one after that to `*outer_pc`.
void Outermost(uintptr_t* pc, uintptr_t* outer_pc);

// A function template, a lambda, a function of internal linkage: each gives an address in itself.
uintptr_t InTemplate();
uintptr_t InLambda();
uintptr_t InAnonymous();
uintptr_t InOperator();
extern "C" uintptr_t testdata_in_c();

}  // namespace testdata
