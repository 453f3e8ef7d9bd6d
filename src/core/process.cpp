#include "core/process.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/instruction_set.hpp"

namespace featflow {

void tune_allocator() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
}

void release_free_memory() { malloc_trim(0); }

int64_t peak_memory_bytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t available_memory_bytes() {
  int64_t available = -1;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:"))
      available = 1024 * std::strtoll(line.c_str() + 13, nullptr, 10);
  }
  int64_t limit = 0, used = 0;  // A limit of "max" reads as no number.
  if (available >= 0 && std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    // Cached files count as used there, but are given back.
    std::ifstream stat("/sys/fs/cgroup/memory.stat");
    int64_t bytes = 0;
    for (std::string key; stat >> key >> bytes;) {
      if (key == "inactive_file") used -= bytes;
    }
    available = std::clamp<int64_t>(limit - used, 0, available);
  }
  return available;
}

int64_t free_disk_bytes(const std::filesystem::path& folder) {
  struct statvfs info = {};
  if (statvfs(folder.c_str(), &info) != 0) return -1;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string processor_and_kernels() {
  return fmt::format("{}, {}", processor_name(), instruction_set_name(instruction_set()));
}

std::string human_bytes(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 1 << 30) return fmt::format("{:.1f} GiB", value / (1 << 30));
  if (value >= 1 << 20) return fmt::format("{:.1f} MiB", value / (1 << 20));
  if (value >= 1 << 10) return fmt::format("{:.1f} KiB", value / (1 << 10));
  return fmt::format("{} B", bytes);
}

std::string human_seconds(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s >= 3600) return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{} min {} s", s / 60, s % 60);
  if (seconds >= 10 || seconds == 0) return fmt::format("{} s", s);
  return fmt::format("{:.1f} s", seconds);
}

}  // namespace featflow
