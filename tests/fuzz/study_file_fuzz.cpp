// A study file is read, or refused with Error; none of what it names is opened.

#include <cstdint>
#include <string>

#include "core/error.hpp"
#include "study/settings.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    featflow::parse_study(std::string(reinterpret_cast<const char*>(data), size), "input",
                          "/nonexistent");
  } catch (const featflow::Error&) {
  }
  return 0;
}
