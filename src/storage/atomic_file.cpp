#include "storage/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "core/error.hpp"
#include "storage/system_error.hpp"

namespace featflow {

namespace fs = std::filesystem;

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  static std::atomic<unsigned> counter{0};
  temporary_ = path_.parent_path() /
               fmt::format(".{}.{}-{}.tmp", path_.filename().string(), ::getpid(), counter++);
  descriptor_ =
      ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw_system_error(path_, "cannot be created", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  FEATFLOW_CHECK(descriptor_ >= 0, "write after commit");
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_system_error(path_, "cannot be written", errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  FEATFLOW_CHECK(descriptor_ >= 0, "commit called twice");
  if (::fsync(descriptor_) != 0) throw_system_error(path_, "cannot be written", errno);
  // close() may report a delayed write error (quota, network file systems).
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    throw_system_error(path_, "cannot be written", errno);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw_system_error(path_, "cannot be replaced", errno);
  }
  temporary_.clear();
}

bool is_temporary_name(std::string_view file_name) {
  return file_name.starts_with(".") && file_name.ends_with(".tmp");
}

}  // namespace featflow
