#include "storage/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.hpp"
#include "storage/atomic_file.hpp"
#include "storage/system_error.hpp"

namespace featflow {

namespace fs = std::filesystem;

namespace {

/// A descriptor closed at the end of its scope.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {
    if (value_ < 0) throw_system_error(path, "cannot be opened", errno);
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

void sync(const fs::path& path, int flags) {
  const Descriptor file(path, flags);
  // EINVAL: a device or file system that has nothing to sync.
  if (::fsync(file.get()) != 0 && errno != EINVAL) {
    throw_system_error(path, "cannot be written to disk", errno);
  }
}

}  // namespace

std::string read_file(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  std::string content;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error(path, "cannot be read", errno);
    if (count == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(count));
  }
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void create_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw_system_error(folder, "the folder cannot be created", code.value());
}

void sync_folder(const fs::path& folder) { sync(folder, O_RDONLY | O_DIRECTORY); }

LineLog::LineLog(fs::path path) : path_(std::move(path)) {
  errno = 0;
  out_.open(path_, std::ios::binary | std::ios::app);
  if (!out_) throw_system_error(path_, "cannot be opened for appending", errno);
}

// Each line is flushed: a killed process loses none, and a full disk is reported where it happens.
void LineLog::append(std::string_view line) {
  FEATFLOW_CHECK(line.find('\n') == std::string_view::npos, "a log line contains a line break");
  errno = 0;
  out_ << line << '\n' << std::flush;
  if (!out_) throw_system_error(path_, "cannot be written", errno);
}

int64_t LineLog::offset() {
  sync(path_, O_WRONLY);
  std::error_code code;
  const auto size = fs::file_size(path_, code);
  if (code) throw_system_error(path_, "cannot be examined", code.value());
  return static_cast<int64_t>(size);
}

void LineLog::truncate_to(int64_t offset) {
  const int64_t size = this->offset();
  if (offset < 0 || offset > size) {
    throw Error(fmt::format(
        "{}: has {} bytes but the checkpoint was taken at byte {}: the log was cut or replaced",
        path_.string(), size, offset));
  }
  // The stream appends (O_APPEND) and buffers nothing, so it goes on at the new end.
  if (::truncate(path_.c_str(), offset) != 0) {
    throw_system_error(path_, "cannot be truncated", errno);
  }
}

}  // namespace featflow
