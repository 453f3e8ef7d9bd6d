#include "storage/system_error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "core/error.hpp"

namespace featflow {

void throw_system_error(const std::filesystem::path& path, std::string_view what, int code) {
  std::string hint;
  if (code == ENOSPC || code == EDQUOT) {
    hint = " (free some space and run again: what is finished is kept)";
  }
  throw Error(fmt::format("{}: {}: {}{}", path.string(), what,
                          std::generic_category().message(code), hint));
}

}  // namespace featflow
