#include "core/error.hpp"

#include <fmt/format.h>

#include "core/utf8.hpp"

namespace featflow {

std::string in_quotes(std::string_view text, size_t limit) {
  std::string out = "'";
  const std::string_view shown = text.substr(0, limit);
  for (size_t i = 0; i < shown.size();) {
    const size_t length = utf8_sequence_length(shown.substr(i));
    const auto byte = static_cast<unsigned char>(shown[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      // A sequence cut by the limit is not shown as invalid.
      if (length == 0 && i + 4 > limit && text.size() > limit) break;
      out += fmt::format("\\x{:02x}", byte);
      i += 1;
    } else {
      out += shown.substr(i, length);
      i += length;
    }
  }
  if (text.size() > limit) out += "…";
  return out + "'";
}

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError(fmt::format("{}:{}: {} ({})", file, line, message, condition));
}

}  // namespace featflow
