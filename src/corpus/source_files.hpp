#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace featflow {

/// The files that `sources` name, relative to `base`: a file, a folder (all files below it), or a
/// glob with `*`, `?`, `[…]` within a name and `**` for any number of folders. Names that begin
/// with a dot are left out unless spelled; links to folders are not followed below `**`. Sorted,
/// each file once. Throws Error for a source that names no file.
std::vector<std::filesystem::path> source_files(const std::vector<std::string>& sources,
                                                const std::filesystem::path& base);

}  // namespace featflow
