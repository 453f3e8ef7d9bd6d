#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "storage/artifact.hpp"
#include "storage/files.hpp"
#include "storage/system_error.hpp"

namespace featflow {

namespace fs = std::filesystem;

namespace {

/// "process 4711, started 2024-05-01 12:00:00 UTC: featflow run quick.toml"
std::string describe_this_process() {
  std::string command = read_file("/proc/self/cmdline");
  if (command.ends_with('\0')) command.pop_back();
  std::ranges::replace(command, '\0', ' ');
  const auto now =
      std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("process {}, started {:%Y-%m-%d %H:%M:%S} UTC: {}\n", ::getpid(), now,
                     command);
}

}  // namespace

RunLock::RunLock(const fs::path& run_folder) {
  create_folder(run_folder);
  const fs::path path = run_folder / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) throw_system_error(path, "cannot be opened", errno);
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) throw_system_error(path, "cannot be locked", errno);
      std::string holder = read_file(path);
      holder.resize(std::min(holder.find('\n'), holder.size()));
      throw Error(fmt::format("{}: the run is in use by {}; wait for it or stop it",
                              run_folder.string(),
                              holder.empty() ? "another process" : in_quotes(holder, 300)));
    }
    const std::string holder = describe_this_process();
    if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, holder.data(), holder.size(),
                                                     0) != static_cast<ssize_t>(holder.size())) {
      throw_system_error(path, "cannot be written", errno);
    }
  } catch (...) {
    ::close(std::exchange(descriptor_, -1));
    throw;
  }
}

// The file stays: removing it would let two processes lock two files of one name.
RunLock::~RunLock() {
  [[maybe_unused]] const int result = ::ftruncate(descriptor_, 0);
  ::close(descriptor_);
}

}  // namespace featflow
