#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "storage/safetensors.hpp"

namespace featflow {

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< In order of their offsets.
  Metadata metadata;
  size_t buffer_begin = 0;  ///< Byte of the file at which the data buffer starts.
};

/// Reads and validates the whole layout of a file's bytes. Throws Error naming `where`, the
/// tensor, and the rule that is broken. Safe on hostile input: nothing is allocated on the word
/// of the file before it is checked against the file's size.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where);

/// Bytes of a tensor of this shape; throws Error beginning with `where` if they overflow.
uint64_t tensor_byte_count(DType dtype, const std::vector<int64_t>& shape,
                           const std::string& where);

/// "[32000, 512]"; -1 is shown as "*".
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace featflow
