// SPDX-License-Identifier: Apache-2.0
#include "runtime/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/stats.h"
#include "runtime/sync/channel.h"

namespace curg {
namespace {

// This process's own: outside Bazel others use the folder, too.
std::string PathOf(const std::string& name) {
  return testing::TempDir() + "/" + name + "_" + std::to_string(getpid());
}

void RoundTrip() {
  const std::string path = PathOf("round_trip");
  const std::string draft = path.substr(path.rfind('/') + 1) + ".";
  std::string data(3 << 20, 'x');
  for (size_t i = 0; i < data.size(); i += 97) data[i] = static_cast<char>(i % 251);
  ASSERT_TRUE(WriteFile(path, data).ok());
  const auto read = ReadFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read == data);
  ASSERT_TRUE(WriteFile(path, "short").ok());
  EXPECT_EQ(*ReadFile(path), "short");
  ASSERT_TRUE(WriteFile(path, "").ok());
  EXPECT_EQ(*ReadFile(path), "");
  // Nothing is left of the drafts.
  for (const auto& entry : std::filesystem::directory_iterator(testing::TempDir())) {
    EXPECT_EQ(entry.path().string().find(draft), std::string::npos);
  }
}

TEST(File, RoundTripOnATask) { curg::Run({.workers = 1}, RoundTrip); }
TEST(File, RoundTripOnAPlainThread) { RoundTrip(); }

TEST(File, ReadsAndWritesAtPlaces) {
  curg::Run({.workers = 2}, [] {
    auto file = File::Open(PathOf("places"), O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Write("0123456789").ok());
    ASSERT_TRUE(file->WriteAt("abc", 4).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_EQ(*file->Size(), 10);
    std::string got(6, '-');
    EXPECT_EQ(*file->ReadAt(got, 2), 6);
    EXPECT_EQ(got, "23abc7");
    EXPECT_EQ(*file->Read(got), 0);  // the position is at the end
    EXPECT_TRUE(file->Close().ok());
    EXPECT_FALSE(file->Close().ok());
  });
}

TEST(File, ReadsWhatSaysItIsEmpty) {
  curg::Run({.workers = 1}, [] {
    const auto status = ReadFile("/proc/self/status");
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_NE(status->find("Threads:"), std::string::npos);
  });
}

TEST(File, ErrorsSayWhatAndWhere) {
  curg::Run({.workers = 1}, [] {
    const auto missing = ReadFile(PathOf("missing"));
    EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
    EXPECT_NE(missing.status().message().find("missing"), std::string::npos);
    EXPECT_EQ(WriteFile("/proc/nothing/here", "x").code(), absl::StatusCode::kNotFound);
    File closed(-1);
    char byte;
    EXPECT_FALSE(closed.Read({&byte, 1}).ok());
  });
}

TEST(File, AStopLeavesTheOldContent) {
  curg::Run({.workers = 1}, [] {
    const std::string path = PathOf("stopped");
    ASSERT_TRUE(WriteFile(path, "old").ok());
    std::stop_source stop;
    stop.request_stop();
    constexpr Deadline kNever = Deadline::Never();
    EXPECT_EQ(WriteFile(path, "new", kNever, stop.get_token()).code(),
              absl::StatusCode::kCancelled);
    EXPECT_EQ(ReadFile(path, kNever, stop.get_token()).status().code(),
              absl::StatusCode::kCancelled);
    EXPECT_EQ(*ReadFile(path), "old");
  });
}

// While others have all the turns in Blocking.
TEST(File, ADeadlineEndsTheWaitForATurn) {
  curg::Run({.workers = 1, .blocking_max = 1}, [] {
    const std::string path = PathOf("late");
    ASSERT_TRUE(WriteFile(path, "old").ok());
    auto file = File::Open(path, O_RDWR).value();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    File reader(ends[0]), writer(ends[1]);
    auto holder = Go([&] {
      char byte;
      return reader.Read({&byte, 1});
    });
    while (ReadStats().tasks_blocking == 0) Yield();
    const auto soon = [] { return Deadline::After(std::chrono::milliseconds(2)); };
    EXPECT_EQ(file.Write("new", soon()).code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(file.Sync(soon()).code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(file.Size(soon()).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(ReadFile(path, soon()).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(WriteFile(path, "new", soon()).code(), absl::StatusCode::kDeadlineExceeded);
    char byte;
    EXPECT_EQ(file.Read({&byte, 1}, Deadline::After(std::chrono::nanoseconds(0))).status().code(),
              absl::StatusCode::kDeadlineExceeded);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_EQ(*holder.Join(), 1u);
    EXPECT_EQ(*ReadFile(path), "old");
  });
}

// A read that blocks, from a pipe, keeps nobody else from running, the writer included.
TEST(File, ABlockedReadLetsOthersRun) {
  curg::Run({.workers = 1}, [] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    File reader(ends[0]), writer(ends[1]);
    auto task = Go([&] {
      std::string got(16, ' ');
      const auto count = reader.Read(got);
      return got.substr(0, count.value_or(0));
    });
    Yield();
    ASSERT_TRUE(writer.Write("from a task").ok());
    EXPECT_EQ(task.Join(), "from a task");
  });
}

}  // namespace
}  // namespace curg
