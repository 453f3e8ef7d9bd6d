// A config.json that is accepted is valid, and is the same after it is written and read again.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "checkpoint/model_config.hpp"
#include "core/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string written;
  try {
    const featflow::ModelConfig config = featflow::parse_model_config(
        std::string(reinterpret_cast<const char*>(data), size), "input");
    config.validate("input");
    written = featflow::to_json(config);
  } catch (const featflow::Error&) {
    return 0;
  }
  if (featflow::to_json(featflow::parse_model_config(written, "written")) != written) std::abort();
  return 0;
}
