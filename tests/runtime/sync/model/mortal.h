// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tests/runtime/sync/model/explorer.h"

namespace curg::model {

// Knows whether it is alive. Objects under test live in memory that outlasts them.
class Mortal {
 public:
  constexpr Mortal() = default;
  Mortal(const Mortal&) = delete;
  Mortal& operator=(const Mortal&) = delete;
  ~Mortal() { alive_ = 0; }
  void Touch() const { Expect(alive_ == kAlive, "touches a destroyed object"); }

 private:
  static constexpr uint32_t kAlive = 0x600DF00D;
  volatile uint32_t alive_ = kAlive;  // volatile: looked at after its end on purpose
};

}  // namespace curg::model
