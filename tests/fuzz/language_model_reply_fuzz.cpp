// A language model's reply: whatever the bytes, what is read out of it is what was asked for.

#include <cstdint>
#include <cstdlib>

#include "core/utf8.hpp"
#include "explaining/language_model_prompts.hpp"
#include "explaining/simulation.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string reply(reinterpret_cast<const char*>(data), size);
  featflow::parse_chat_completion(reply);
  if (const auto explanation = featflow::parse_explanation(reply)) {
    if (explanation->empty() || explanation->find('\n') != std::string::npos) std::abort();
    if (!featflow::is_valid_utf8(*explanation)) std::abort();
  }
  if (const auto levels = featflow::parse_integers(reply, 3, 9)) {
    if (levels->size() != 3) std::abort();
    for (const int level : *levels) {
      if (level < 0 || level > 9) std::abort();
    }
  }
  return 0;
}
