#include "corpus/source_files.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <span>
#include <system_error>

#include "core/error.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

bool is_pattern(const std::string& text) { return text.find_first_of("*?[") != std::string::npos; }

std::vector<fs::directory_entry> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    found.push_back(*it);
  }
  if (error) throw Error(fmt::format("{}: cannot be listed: {}", folder.string(), error.message()));
  return found;
}

// Files below `folder` that match the remaining names of a pattern.
void expand(const fs::path& folder, std::span<const std::string> names,
            std::vector<fs::path>& files) {
  std::error_code error;
  if (names.empty()) {
    if (fs::is_regular_file(folder, error)) files.push_back(folder);
    return;
  }
  const std::string& name = names.front();
  const std::span<const std::string> rest = names.subspan(1);
  if (name != "**" && !is_pattern(name)) {
    if (fs::exists(folder / name, error)) expand(folder / name, rest, files);
    return;
  }
  if (!fs::is_directory(folder.empty() ? fs::path(".") : folder, error)) return;
  if (name == "**") expand(folder, rest, files);
  for (const fs::directory_entry& entry : entries(folder.empty() ? fs::path(".") : folder)) {
    const std::string entry_name = entry.path().filename().string();
    if (name == "**") {
      if (entry_name.starts_with('.') || entry.is_symlink(error) || !entry.is_directory(error)) {
        continue;
      }
      expand(folder / entry_name, names, files);
    } else if (fnmatch(name.c_str(), entry_name.c_str(), FNM_PERIOD) == 0) {
      expand(folder / entry_name, rest, files);
    }
  }
}

std::vector<fs::path> matches(const fs::path& base, const fs::path& pattern) {
  std::vector<std::string> names;
  for (const fs::path& part : pattern.relative_path()) {
    if (part.empty() || (part == "**" && !names.empty() && names.back() == "**")) continue;
    names.push_back(part.string());
  }
  if (!names.empty() && names.back() == "**") names.emplace_back("*");
  std::vector<fs::path> files;
  expand(pattern.is_absolute() ? pattern.root_path() : base, names, files);
  return files;
}

}  // namespace

std::vector<fs::path> source_files(const std::vector<std::string>& sources, const fs::path& base) {
  std::vector<fs::path> files;
  for (const std::string& source : sources) {
    const fs::path path = base / source;
    std::error_code error;
    std::vector<fs::path> found;
    if (source.empty()) throw Error("an empty path stands among the sources of a corpus");
    if (fs::is_directory(path, error)) {
      found = matches(path, "**");
    } else if (fs::exists(path, error)) {  // A name with * or [ in it is itself, if it exists.
      found = {path};
    } else if (is_pattern(source)) {
      found = matches(base, source);
    } else {
      throw Error(
          fmt::format("{}: no such file or folder (source {})", path.string(), in_quotes(source)));
    }
    if (found.empty()) {
      throw Error(fmt::format("source {}: no file matches (looked in {})", in_quotes(source),
                              fs::absolute(base.empty() ? fs::path(".") : base).string()));
    }
    files.insert(files.end(), found.begin(), found.end());
  }
  for (fs::path& file : files) file = file.lexically_normal();
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

}  // namespace featflow
