// Whatever the bytes, validation accepts them or throws Error: no crash, no other exception, no
// memory beyond a few times the input.

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.hpp"
#include "storage/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    featflow::validate_safetensors(std::as_bytes(std::span(data, size)), "input");
  } catch (const featflow::Error&) {
  }
  return 0;
}
