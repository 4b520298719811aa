// SPDX-License-Identifier: Apache-2.0
#include "runtime/fcontext_rows.h"

#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

namespace fcontext = boost::context::detail;

template <typename Function>
uintptr_t AddressOf(Function* function) {
  return reinterpret_cast<uintptr_t>(function);
}

// The functions found where each of Boost's is, by name.
std::string NameAt(uintptr_t address, size_t size) {
  uintptr_t at = 0;
  const FcontextFunction* function = FindFcontextFunction(address, address + size, &at);
  return function == nullptr || at != address ? "" : function->name;
}

TEST(FcontextRows, RecognisesTheLibraryThatIsLinked) {
  EXPECT_EQ(NameAt(AddressOf(&fcontext::make_fcontext), 0x38), "make_fcontext");
  EXPECT_EQ(NameAt(AddressOf(&fcontext::jump_fcontext), 0x6a), "jump_fcontext");
  EXPECT_EQ(NameAt(AddressOf(&fcontext::ontop_fcontext), 0x68), "ontop_fcontext");
}

TEST(FcontextRows, NotEntirelyInsideIsNotFound) {
  EXPECT_EQ(NameAt(AddressOf(&fcontext::jump_fcontext), 0x69), "");
}

// A copy of a function's code, aligned as code is.
class Copy {
 public:
  Copy(uintptr_t code, size_t size) : bytes_(256), size_(size) {
    std::memcpy(at(), reinterpret_cast<const void*>(code), size);
  }
  uint8_t* at() {
    const auto begin = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (16 - begin % 16) % 16;
  }
  std::string Name() { return NameAt(reinterpret_cast<uintptr_t>(at()), size_); }

 private:
  std::vector<uint8_t> bytes_;
  const size_t size_;
};

TEST(FcontextRows, EveryByteCounts) {
  for (const auto& [address, size] :
       {std::pair{AddressOf(&fcontext::make_fcontext), size_t{0x38}},
        std::pair{AddressOf(&fcontext::jump_fcontext), size_t{0x6a}},
        std::pair{AddressOf(&fcontext::ontop_fcontext), size_t{0x68}}}) {
    Copy copy(address, size);
    ASSERT_NE(copy.Name(), "");
    int ignored = 0;
    for (size_t i = 0; i < size; ++i) {
      copy.at()[i] ^= 0x40;
      ignored += copy.Name().empty() ? 0 : 1;
      copy.at()[i] ^= 0x40;
    }
    // The operand of make_fcontext's call of _exit is the linker's.
    EXPECT_EQ(ignored, size == 0x38 ? 4 : 0);
  }
}

}  // namespace
}  // namespace curg::internal
