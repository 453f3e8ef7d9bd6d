#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace featflow {

/// Bytes of the valid UTF-8 sequence that `text` begins with; 0 if it begins with none (empty,
/// overlong, surrogate, above U+10FFFF, truncated).
size_t utf8_sequence_length(std::string_view text);

bool is_valid_utf8(std::string_view text);

/// Every byte that belongs to no valid sequence replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace featflow
