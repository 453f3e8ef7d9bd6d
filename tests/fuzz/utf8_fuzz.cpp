// Whatever the bytes, the repaired text is valid UTF-8, and valid text is left as it was.

#include <cstdint>
#include <cstdlib>

#include "core/utf8.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string repaired = featflow::to_valid_utf8(text);
  if (!featflow::is_valid_utf8(repaired)) std::abort();
  if (featflow::is_valid_utf8(text) != (repaired == text)) std::abort();
  return 0;
}
