#pragma once

#include <filesystem>
#include <string_view>

namespace featflow {

/// Throws Error "PATH: WHAT: REASON", with what can be done about it where that is known
/// (a full disk). `code` is an errno.
[[noreturn]] void throw_system_error(const std::filesystem::path& path, std::string_view what,
                                     int code);

}  // namespace featflow
