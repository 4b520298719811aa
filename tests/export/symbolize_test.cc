// SPDX-License-Identifier: Apache-2.0
//
// Real binaries: this one, the system's libraries, the vdso, and one small library built with each
// kind of debug information (testdata/).
#include "export/symbolize.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <link.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "export/elf_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "profiler/mappings.h"
#include "runtime/go.h"
#include "tests/export/testdata/inlined.h"

namespace curg {
namespace {

namespace fs = ::std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kTestdata[] = "tests/export/testdata/";

// The number of the line of inlined.cc with this mark.
int LineOf(const std::string& mark) {
  std::ifstream source(absl::StrCat(kTestdata, "inlined.cc"));
  std::string line;
  for (int number = 1; std::getline(source, line); ++number) {
    if (line.ends_with("// line: " + mark)) return number;
  }
  ADD_FAILURE() << "no line is marked " << mark;
  return -1;
}

// A copy of a testdata library in a directory of its own, loaded.
class Library {
 public:
  explicit Library(const std::string& name, const fs::path& source = kTestdata)
      : directory_(fs::path(::testing::TempDir()) / ("symbolize_" + name)),
        path_(directory_ / (name + ".so")) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    fs::copy_file(source / (name + ".so"), path_);
    handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle_, nullptr) << dlerror();
    auto* addresses =
        reinterpret_cast<void (*)(TestdataAddresses*)>(dlsym(handle_, "testdata_addresses"));
    if (addresses != nullptr) addresses(&at);
    mappings = internal::CurrentMappings();
  }
  ~Library() {
    dlclose(handle_);
    fs::remove_all(directory_);
  }

  fs::path directory() const { return directory_; }
  fs::path path() const { return path_; }

  TestdataAddresses at = {};
  std::vector<CpuProfileMapping> mappings;

 private:
  const fs::path directory_;
  const fs::path path_;
  void* handle_ = nullptr;
};

std::string BuildIdOf(const Library& library) {
  for (const CpuProfileMapping& mapping : library.mappings) {
    if (mapping.start <= library.at.c && library.at.c < mapping.limit) return mapping.build_id;
  }
  return "";
}

// "function line" of each frame, "inlined" before those that are; all must be in inlined.cc.
std::vector<std::string> Lines(const std::vector<Frame>& frames) {
  std::vector<std::string> lines;
  for (const Frame& frame : frames) {
    EXPECT_EQ(frame.file, "tests/export/testdata/inlined.cc");
    lines.push_back(absl::StrCat(frame.inlined ? "inlined " : "", frame.function, " ", frame.line));
  }
  return lines;
}

void ExpectAllThereIs(Library& library, Symbolizer& symbolizer) {
  const auto frames = [&](uintptr_t address) { return Lines(symbolizer.FramesAt(address)); };
  const auto line = [](std::string_view function, const std::string& mark) {
    return absl::StrCat(absl::string_view(function.data(), function.size()), " ", LineOf(mark));
  };
  EXPECT_THAT(frames(library.at.innermost),
              ElementsAre(line("inlined testdata::Middle::Innermost", "innermost"),
                          line("inlined testdata::CallMiddle", "call innermost"),
                          line("testdata::Outermost", "call middle")));
  EXPECT_THAT(frames(library.at.middle), ElementsAre(line("inlined testdata::CallMiddle", "middle"),
                                                     line("testdata::Outermost", "call middle")));
  EXPECT_THAT(frames(library.at.local),
              ElementsAre(line("inlined testdata::(anonymous namespace)::InlinedLocal", "local"),
                          line("testdata::Outermost", "call local")));
  EXPECT_THAT(frames(library.at.tmpl),
              ElementsAre(line("testdata::Template<char const*>", "template")));
  EXPECT_THAT(frames(library.at.lambda),
              ElementsAre(line("testdata::InLambda()::{lambda(int)#1}::operator()", "lambda")));
  EXPECT_THAT(frames(library.at.anonymous),
              ElementsAre(line("testdata::(anonymous namespace)::Anonymous", "anonymous")));
  EXPECT_THAT(
      frames(library.at.op),
      ElementsAre(line("testdata::(anonymous namespace)::Callable::operator()", "operator")));
  EXPECT_THAT(frames(library.at.c), ElementsAre(line("testdata_addresses", "c")));
  EXPECT_THAT(
      frames(library.at.inlined_lambda),
      ElementsAre(line("inlined testdata::(anonymous namespace)::WithLambda::{lambda}::operator()",
                       "inlined lambda"),
                  line("testdata::(anonymous namespace)::WithLambda", "call inlined lambda")));
  EXPECT_THAT(frames(library.at.alias), ElementsAre(line("testdata_alias", "alias")));
  EXPECT_EQ(symbolizer.FramesAt(library.at.alias)[0].system_name, "testdata_alias");

  const std::vector<Frame>& outermost = symbolizer.FramesAt(library.at.middle);
  EXPECT_EQ(outermost.back().system_name, "_ZN8testdata9OutermostEP17TestdataAddresses");
  EXPECT_EQ(outermost.back().start_line, LineOf("call middle") - 1);
  EXPECT_EQ(symbolizer.FramesAt(library.at.local)[0].system_name, "") << "it has none";
}

TEST(Symbolize, Dwarf4) {
  Library library("libinlined_dwarf4");
  Symbolizer symbolizer(library.mappings);
  ExpectAllThereIs(library, symbolizer);
}

TEST(Symbolize, Dwarf5) {
  Library library("libinlined_dwarf5");
  Symbolizer symbolizer(library.mappings);
  ExpectAllThereIs(library, symbolizer);
}

// The file is gone, and the library unloaded: only memory can tell.
TEST(Symbolize, RemembersForTheNextOne) {
  std::vector<CpuProfileMapping> mappings;
  uintptr_t address = 0;
  std::vector<Frame> frames;
  {
    Library library("libinlined_dwarf5");
    mappings = library.mappings;
    address = library.at.innermost;
    Symbolizer symbolizer(mappings, {.remember = true});
    frames = symbolizer.FramesAt(address);
  }
  ASSERT_GE(frames.size(), 2u);
  EXPECT_EQ(Symbolizer(mappings, {.remember = true}).FramesAt(address), frames);
  EXPECT_THAT(Symbolizer(mappings).FramesAt(address), IsEmpty());
}

TEST(Symbolize, CompressedSections) {
  Library library("libinlined_compressed");
  Symbolizer symbolizer(library.mappings);
  ExpectAllThereIs(library, symbolizer);
}

TEST(Symbolize, WithoutDebugInformationSymbolsTellFunctions) {
  Library library("libinlined_symbols");
  Symbolizer symbolizer(library.mappings);
  const auto function = [&](uintptr_t address) {
    const std::vector<Frame>& frames = symbolizer.FramesAt(address);
    EXPECT_THAT(frames, SizeIs(1));
    EXPECT_EQ(frames[0].file, "");
    EXPECT_EQ(frames[0].line, 0);
    return frames[0].function;
  };
  EXPECT_EQ(function(library.at.innermost), "testdata::Outermost");
  EXPECT_EQ(function(library.at.tmpl), "testdata::Template<char const*>");
  EXPECT_EQ(function(library.at.anonymous), "testdata::(anonymous namespace)::Anonymous");
  EXPECT_EQ(function(library.at.c), "testdata_addresses");
}

TEST(Symbolize, StrippedKeepsDynamicSymbols) {
  Library library("libinlined_split");
  Symbolizer symbolizer(library.mappings);
  ASSERT_THAT(symbolizer.FramesAt(library.at.c), SizeIs(1));
  EXPECT_EQ(symbolizer.FramesAt(library.at.c)[0].function, "testdata_addresses");
  EXPECT_THAT(symbolizer.FramesAt(library.at.anonymous), IsEmpty()) << "not exported";
}

TEST(Symbolize, DebugFileByDebugLink) {
  for (const char* directory : {".", ".debug"}) {
    Library library("libinlined_split");
    fs::create_directories(library.directory() / directory);
    fs::copy_file(absl::StrCat(kTestdata, "libinlined_split.debug"),
                  library.directory() / directory / "libinlined_split.debug");
    Symbolizer symbolizer(library.mappings);
    ExpectAllThereIs(library, symbolizer);
  }
}

TEST(Symbolize, DebugFileByBuildId) {
  Library library("libinlined_split");
  const std::string build_id = BuildIdOf(library);
  ASSERT_THAT(build_id, SizeIs(40));
  const fs::path root = library.directory() / "root";
  fs::create_directories(root / ".build-id" / build_id.substr(0, 2));
  fs::copy_file(absl::StrCat(kTestdata, "libinlined_split.debug"),
                root / ".build-id" / build_id.substr(0, 2) / (build_id.substr(2) + ".debug"));
  Symbolizer symbolizer(library.mappings, {.debug_roots = {"/nowhere", root}});
  ExpectAllThereIs(library, symbolizer);
}

TEST(Symbolize, ADebugFileOfAnotherBuildIsNotTaken) {
  Library library("libinlined_split");
  fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwarf4.so"),
                library.directory() / "libinlined_split.debug");
  Symbolizer symbolizer(library.mappings);
  EXPECT_THAT(symbolizer.FramesAt(library.at.anonymous), IsEmpty());
}

// Whether the kernel lets this process open what it has mapped.
bool CanOpenMapped(const Library& library) {
  for (const CpuProfileMapping& mapping : library.mappings) {
    if (mapping.start > library.at.c || library.at.c >= mapping.limit) continue;
    return internal::ElfFile::Open(absl::StrCat("/proc/self/map_files/", absl::Hex(mapping.start),
                                                "-", absl::Hex(mapping.limit))) != nullptr;
  }
  return false;
}

// All there is, or, where the file that is mapped cannot be had, nothing: never another build's.
void ExpectAllOrNothing(Library& library) {
  Symbolizer symbolizer(library.mappings);
  if (CanOpenMapped(library)) return ExpectAllThereIs(library, symbolizer);
  EXPECT_THAT(symbolizer.FramesAt(library.at.c), IsEmpty());
}

TEST(Symbolize, AFileThatWasReplacedIsNotTaken) {
  Library library("libinlined_dwarf5");
  fs::remove(library.path());
  fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwarf4.so"), library.path());
  ExpectAllOrNothing(library);
}

TEST(Symbolize, AFileThatWasDeletedIsReadFromItsMapping) {
  Library library("libinlined_dwarf5");
  fs::remove(library.path());
  ExpectAllOrNothing(library);
  library.mappings = internal::CurrentMappings();  // now "... (deleted)"
  ExpectAllOrNothing(library);
}

TEST(Symbolize, ALibraryThatWasUnloadedIsReadFromItsFile) {
  fs::path directory;
  TestdataAddresses at;
  internal::MappingRecorder recorder;
  {
    Library library("libinlined_dwarf5");
    recorder.Capture();
    at = library.at;
    directory = library.directory();
  }
  recorder.Capture();
  fs::create_directories(directory);  // its file was removed with it
  fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwarf5.so"),
                directory / "libinlined_dwarf5.so");
  Symbolizer symbolizer(recorder.Take());
  EXPECT_THAT(symbolizer.FramesAt(at.innermost), SizeIs(3));
  fs::remove_all(directory);
}

TEST(Symbolize, DebugInformationInDwoFiles) {
  Library library("libinlined_dwo");
  {
    Symbolizer symbolizer(library.mappings);  // without the file: symbols, and lines
    ASSERT_FALSE(symbolizer.FramesAt(library.at.c).empty());
    EXPECT_EQ(symbolizer.FramesAt(library.at.c).back().function, "testdata_addresses");
  }
  fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwo.dwo"),
                library.directory() / "libinlined_dwo.dwo");
  Symbolizer symbolizer(library.mappings);
  ExpectAllThereIs(library, symbolizer);
}

// What two libraries have in common is in a third file, which .gnu_debugaltlink names, as in
// Fedora's and Debian's debug packages.
TEST(Symbolize, DebugInformationSharedByDwz) {
  const fs::path source = fs::path(::testing::TempDir()) / "symbolize_dwz";
  fs::remove_all(source);
  fs::create_directories(source);
  for (const char* name : {"libinlined_dwarf4.so", "other.so"}) {
    fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwarf4.so"), source / name);
    fs::permissions(source / name, fs::perms::owner_all);
  }
  const std::string common = (source / "common.debug").string();
  const std::string dwz = absl::StrCat("cd ", source.string(), " && dwz -m ", common, " -M ",
                                       common, " libinlined_dwarf4.so other.so");
  if (std::system("dwz --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "there is no dwz here";
  ASSERT_EQ(std::system(dwz.c_str()), 0);  // NOLINT: a test's own command
  ASSERT_TRUE(fs::exists(common)) << "dwz found nothing in common";
  Library library("libinlined_dwarf4", source);
  Symbolizer symbolizer(library.mappings);
  ExpectAllThereIs(library, symbolizer);
  fs::remove_all(source);
}

TEST(Symbolize, AFileThatIsNoElfIsNotTaken) {
  Library library("libinlined_dwarf5");
  fs::remove(library.path());
  std::ofstream(library.path()) << std::string(100'000, 'x');
  ExpectAllOrNothing(library);
}

// Cut short, debug information must not lead anywhere but to fewer frames.
TEST(Symbolize, ADamagedFileDoesNoHarm) {
  Library library("libinlined_dwarf5");
  std::vector<CpuProfileMapping> mappings = library.mappings;
  for (CpuProfileMapping& mapping : mappings) mapping.build_id.clear();
  const uintmax_t size = fs::file_size(library.path());
  for (int part = 0; part < 64; ++part) {
    const fs::path copy = library.directory() / "copy.so";
    fs::copy_file(absl::StrCat(kTestdata, "libinlined_dwarf5.so"), copy,
                  fs::copy_options::overwrite_existing);
    fs::permissions(copy, fs::perms::owner_write, fs::perm_options::add);
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size * part / 64));
    file << std::string(size / 64, static_cast<char>(0xA5 + part));
    file.close();
    for (CpuProfileMapping& mapping : mappings) {
      if (mapping.start <= library.at.c && library.at.c < mapping.limit) mapping.path = copy;
    }
    Symbolizer symbolizer(mappings);
    for (const uintptr_t address :
         {library.at.innermost, library.at.tmpl, library.at.lambda, library.at.c}) {
      EXPECT_LE(symbolizer.FramesAt(address).size(), 16u);
    }
  }
}

// This very program, position-independent or not.
TEST(Symbolize, ThisProgram) {
  Symbolizer symbolizer(internal::CurrentMappings());
  uintptr_t here;
  asm volatile("1: lea 1b(%%rip), %0" : "=r"(here));
  const int line = __LINE__ - 1;
  const std::vector<Frame>& frames = symbolizer.FramesAt(here);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().function,
            "curg::(anonymous namespace)::Symbolize_ThisProgram_Test::TestBody");
  EXPECT_EQ(frames.back().file, "tests/export/symbolize_test.cc");
  EXPECT_EQ(frames.back().line, line);
}

TEST(Symbolize, SystemLibrariesByDynamicSymbols) {
  Symbolizer symbolizer(internal::CurrentMappings());
  void* const qsort = dlsym(RTLD_DEFAULT, "qsort");
  ASSERT_NE(qsort, nullptr);
  const std::vector<Frame>& frames = symbolizer.FramesAt(reinterpret_cast<uintptr_t>(qsort) + 1);
  ASSERT_FALSE(frames.empty());
  EXPECT_THAT(frames.back().function, HasSubstr("qsort"));
  EXPECT_THAT(frames.back().system_name, ::testing::Not(HasSubstr("@")));
}

TEST(Symbolize, StubsForCallsHaveAName) {
  const auto program = internal::ElfFile::Open("/proc/self/exe");
  ASSERT_NE(program, nullptr);
  const internal::ElfFile::Range plt = program->SectionRange(".plt");
  ASSERT_LT(plt.begin, plt.end);
  const std::vector<CpuProfileMapping> mappings = internal::CurrentMappings();
  const std::string path = fs::read_symlink("/proc/self/exe");
  uintptr_t load_bias = 0;
  for (const CpuProfileMapping& mapping : mappings) {
    if (mapping.path == path) load_bias = mapping.load_bias;
  }
  ASSERT_NE(load_bias, 0);
  Symbolizer symbolizer(mappings);
  for (uint64_t address : {plt.begin, plt.end - 1}) {
    const std::vector<Frame>& frames = symbolizer.FramesAt(load_bias + address);
    ASSERT_THAT(frames, SizeIs(1));
    EXPECT_EQ(frames[0].function, "[plt]");
    EXPECT_EQ(frames[0].file, "");
  }
}

TEST(Symbolize, TheVdsoFromMemory) {
  const uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0) GTEST_SKIP() << "there is no vdso here";
  Symbolizer symbolizer(internal::CurrentMappings());
  bool found = false;
  for (uintptr_t offset = 0; offset < 8192; offset += 16) {
    for (const Frame& frame : symbolizer.FramesAt(vdso + offset)) {
      found |= frame.function.find("clock_gettime") != std::string::npos;
    }
  }
  EXPECT_TRUE(found);
}

TEST(Symbolize, NothingIsKnownOfOtherAddresses) {
  Symbolizer symbolizer(internal::CurrentMappings());
  int on_stack;
  EXPECT_THAT(symbolizer.FramesAt(0), IsEmpty());
  EXPECT_THAT(symbolizer.FramesAt(UINTPTR_MAX), IsEmpty());
  EXPECT_THAT(symbolizer.FramesAt(reinterpret_cast<uintptr_t>(&on_stack)), IsEmpty());
  Symbolizer none({});
  EXPECT_THAT(none.FramesAt(reinterpret_cast<uintptr_t>(&qsort)), IsEmpty());
}

// libdw's line reader takes more stack than a task has.
TEST(Symbolize, WorksOnATask) {
  Library library("libinlined_dwarf5");
  RuntimeOptions options;
  options.stack_size = 64 << 10;
  curg::Run(options, [&] {
    Symbolizer symbolizer(library.mappings);
    ExpectAllThereIs(library, symbolizer);
  });
}

TEST(Symbolize, NeverDownloads) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  setenv("DEBUGINFOD_URLS", absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port)).c_str(), 1);

  Library library("libinlined_split");
  Symbolizer symbolizer(library.mappings);
  EXPECT_THAT(symbolizer.FramesAt(library.at.anonymous), IsEmpty());
  symbolizer.FramesAt(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "qsort")) + 1);

  unsetenv("DEBUGINFOD_URLS");
  pollfd connection = {listener, POLLIN, 0};
  EXPECT_EQ(poll(&connection, 1, 0), 0) << "somebody asked for debug information";
  close(listener);
}

}  // namespace
}  // namespace curg
