#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace featflow {

/// Builds a file in a hidden temporary beside `path` (".<name>.<pid>-<n>.tmp") and renames it when
/// whole: readers and memory maps of `path` see the old content or the new one, never a mixture.
/// Without commit() nothing is left behind. All members throw Error with the path and the system's
/// reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// fsync, close, rename. The folder is not fsynced: that is once, when an artefact is whole.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

/// Whether a file name is that of a temporary, as a killed process leaves it.
bool is_temporary_name(std::string_view file_name);

}  // namespace featflow
