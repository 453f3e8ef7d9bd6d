#include "storage/files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iterator>

#include "core/error.hpp"
#include "storage/atomic_file.hpp"
#include "storage/safetensors.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

int64_t entries_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(Files, AtomicWriteReplacesWhole) {
  const TemporaryFolder folder;
  const std::string content = std::string("a\0b\r\n", 5) + std::string(200'000, 'x');
  write_file_atomic(folder / "f", "old");
  write_file_atomic(folder / "f", content);
  EXPECT_EQ(read_file(folder / "f"), content);
  EXPECT_EQ(entries_in(folder.path()), 1);
}

TEST(Files, UncommittedFileLeavesNothing) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "f", "old");
  {
    AtomicFile file(folder / "f");
    file.write("half of the new");
    EXPECT_EQ(entries_in(folder.path()), 2);
  }
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(entries_in(folder.path()), 1);
}

TEST(Files, TwoWritersOfOneNameDoNotMix) {
  const TemporaryFolder folder;
  AtomicFile first(folder / "f"), second(folder / "f");
  first.write("first");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_file(folder / "f"), "first");
  second.commit();
  EXPECT_EQ(read_file(folder / "f"), "second");
}

TEST(Files, ErrorsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string missing = (folder / "no" / "f").string();
  EXPECT_EQ(message_of([&] { read_file(missing); }),
            missing + ": cannot be opened: No such file or directory");
  EXPECT_EQ(message_of([&] { write_file_atomic(missing, ""); }),
            missing + ": cannot be created: No such file or directory");
  EXPECT_THAT(message_of([&] { read_file(folder.path()); }), HasSubstr("Is a directory"));
  write_file_atomic(folder / "f", "");
  EXPECT_THAT(message_of([&] { create_folder(folder / "f" / "g"); }), HasSubstr("Not a directory"));
  create_folder(folder / "d");
  EXPECT_THAT(message_of([&] { write_file_atomic(folder / "d", "x"); }),
              HasSubstr("cannot be replaced"));
  EXPECT_THAT(message_of([&] { sync_folder(folder / "none"); }), HasSubstr("No such file"));
}

TEST(Files, FullDeviceIsReportedByTheLineThatMetIt) {
  LineLog log("/dev/full");
  EXPECT_THAT(message_of([&] { log.append("{}"); }),
              StartsWith("/dev/full: cannot be written: No space left on device"));
}

/// In a child with a 64 KiB file system of its own: 0 right, 1 wrong, 77 not allowed here.
int write_to_full_disk(const fs::path& folder) {
  if (::unshare(CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
    return 77;
  }
  const fs::path path = folder / "f";
  write_file_atomic(path, "old");
  const std::string expected = path.string() + ": cannot be written: No space left on device";
  const std::vector<float> large(1 << 20);
  const std::string text = message_of([&] { write_file_atomic(path, std::string(1 << 20, 'x')); });
  const std::string tensors =
      message_of([&] { write_safetensors(path, {tensor_view("w", {1 << 20}, large)}); });
  const bool right = text.starts_with(expected) && tensors.starts_with(expected) &&
                     read_file(path) == "old" && entries_in(folder) == 1;
  return right ? 0 : 1;
}

TEST(Files, FullDiskKeepsTheOldFile) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(write_to_full_disk(folder.path()));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "a file system cannot be mounted here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(LineLog, ResumesAtACheckpoint) {
  const TemporaryFolder folder;
  int64_t checkpoint = 0;
  {
    LineLog log(folder / "metrics.jsonl");
    EXPECT_EQ(log.offset(), 0);
    log.append("one");
    checkpoint = log.offset();
    EXPECT_EQ(checkpoint, 4);
    log.append("two");  // then killed
  }
  LineLog log(folder / "metrics.jsonl");
  EXPECT_EQ(log.offset(), 8);
  log.truncate_to(checkpoint);
  EXPECT_EQ(log.offset(), 4);
  log.append("two again");
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "one\ntwo again\n");
  log.truncate_to(0);
  log.append("anew");
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "anew\n");
}

TEST(LineLog, RefusesACheckpointBeyondItsEnd) {
  const TemporaryFolder folder;
  LineLog log(folder / "m");
  log.append("one");
  EXPECT_THAT(message_of([&] { log.truncate_to(5); }),
              HasSubstr("has 4 bytes but the checkpoint was taken at byte 5"));
  EXPECT_THROW(log.truncate_to(-1), Error);
  EXPECT_THROW(log.append("a\nb"), InternalError);
  EXPECT_THROW(LineLog(folder / "none" / "m"), Error);
}

}  // namespace
}  // namespace featflow
