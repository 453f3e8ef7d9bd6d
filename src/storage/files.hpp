#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace featflow {

/// All throw Error with the path and the system's reason ("No space left on device").
std::string read_file(const std::filesystem::path& path);
/// Temporary file beside it, fsync, rename: readers see the old content or the new one whole.
void write_file_atomic(const std::filesystem::path& path, std::string_view content);
void create_folder(const std::filesystem::path& folder);
void sync_folder(const std::filesystem::path& folder);

/// Append-only lines with a known offset: a checkpoint stores offset(), and a resumed run calls
/// truncate_to() so that no line stands twice.
class LineLog {
 public:
  explicit LineLog(std::filesystem::path path);
  void append(std::string_view line);
  /// Bytes durable in the file so far (flushes).
  int64_t offset();
  void truncate_to(int64_t offset);

 private:
  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace featflow
