// SPDX-License-Identifier: Apache-2.0
#include "profiler/mappings.h"

#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

const CpuProfileMapping* Find(const std::vector<CpuProfileMapping>& mappings, uintptr_t address) {
  const auto it = std::find_if(mappings.begin(), mappings.end(), [address](const auto& m) {
    return m.start <= address && address < m.limit;
  });
  return it == mappings.end() ? nullptr : &*it;
}

uintptr_t AddressOf(void* function) { return reinterpret_cast<uintptr_t>(function); }

// The program itself is position independent, as is usual: its bias is not zero.
TEST(Mappings, KnowTheProgram) {
  const std::vector<CpuProfileMapping> mappings = CurrentMappings();
  const auto here = reinterpret_cast<uintptr_t>(&Find);
  const CpuProfileMapping* const mapping = Find(mappings, here);
  ASSERT_NE(mapping, nullptr);
  char path[PATH_MAX] = {};
  ASSERT_GT(readlink("/proc/self/exe", path, sizeof(path) - 1), 0);
  EXPECT_EQ(mapping->path, path);

  Dl_info info;
  link_map* map = nullptr;
  ASSERT_NE(dladdr1(reinterpret_cast<void*>(here), &info, reinterpret_cast<void**>(&map),
                    RTLD_DL_LINKMAP),
            0);
  EXPECT_EQ(mapping->load_bias, map->l_addr);
}

// What the loader says about a function is what the mapping says: its address in the file.
TEST(Mappings, KnowLibrariesWithBiasAndBuildId) {
  // A function that no sanitizer puts its own in front of.
  void* const function = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
  const std::vector<CpuProfileMapping> mappings = CurrentMappings();
  const CpuProfileMapping* const mapping = Find(mappings, AddressOf(function));
  ASSERT_NE(mapping, nullptr);
  EXPECT_NE(mapping->path.find("libc.so"), std::string::npos) << mapping->path;
  EXPECT_EQ(mapping->build_id.size(), 40u) << mapping->build_id;
  EXPECT_EQ(mapping->build_id.find_first_not_of("0123456789abcdef"), std::string::npos);

  Dl_info info;
  const ElfW(Sym)* symbol = nullptr;
  ASSERT_NE(dladdr1(function, &info, const_cast<void**>(reinterpret_cast<const void**>(&symbol)),
                    RTLD_DL_SYMENT),
            0);
  ASSERT_NE(symbol, nullptr);
  EXPECT_EQ(AddressOf(function) - mapping->load_bias, symbol->st_value);
}

TEST(Mappings, KnowTheVdso) {
  const uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0) GTEST_SKIP() << "this kernel offers no vdso";
  const std::vector<CpuProfileMapping> mappings = CurrentMappings();
  const CpuProfileMapping* const mapping = Find(mappings, vdso);
  ASSERT_NE(mapping, nullptr);
  EXPECT_EQ(mapping->path, "[vdso]");
  EXPECT_FALSE(mapping->build_id.empty());
  EXPECT_EQ(mapping->load_bias, vdso);  // linked at zero
}

TEST(MappingRecorder, CapturesOnceUntilModulesChange) {
  MappingRecorder recorder;
  EXPECT_TRUE(recorder.Capture());
  EXPECT_FALSE(recorder.Capture());
  const std::vector<CpuProfileMapping> mappings = recorder.Take();
  EXPECT_GE(mappings.size(), 3u);
  for (size_t i = 1; i < mappings.size(); ++i) {
    EXPECT_LE(mappings[i - 1].limit, mappings[i].start);
  }
}

TEST(MappingRecorder, RemembersALibraryThatWasUnloaded) {
  constexpr char kLibrary[] = "libunwind.so.8";
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) GTEST_SKIP() << dlerror();
  MappingRecorder recorder;
  recorder.Capture();
  dlclose(library);
  recorder.Capture();
  const std::vector<CpuProfileMapping> mappings = recorder.Take();
  EXPECT_TRUE(std::any_of(mappings.begin(), mappings.end(), [](const CpuProfileMapping& m) {
    return m.path.find("libunwind.so.8") != std::string::npos;
  }));
}

}  // namespace
}  // namespace curg::internal
