#include "report/report_text.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {

ReportText ReportText::load(const std::filesystem::path& tokens,
                            const std::filesystem::path& tokenizer_file) {
  ReportText text{load_token_shard(tokens), {}};
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  if (tokenizer.vocab_size() != text.shard.vocab_size) {
    throw Error(fmt::format("{}: a vocabulary of {} tokens, but the tokenizer {} has {}",
                            tokens.string(), text.shard.vocab_size, tokenizer_file.string(),
                            tokenizer.vocab_size()));
  }
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    text.vocabulary.push_back(tokenizer.token_text(id));
  }
  return text;
}

void ReportText::check(const FeatureActivations& activations,
                       const std::filesystem::path& file) const {
  int64_t before = -1;
  for (const int64_t position : activations.token_positions) {
    if (position <= before || position >= shard.size()) {
      throw Error(
          fmt::format("{}: token position {} after {}, expected ascending ones below {}; "
                      "was it encoded on another text?",
                      file.string(), position, before, shard.size()));
    }
    before = position;
  }
}

}  // namespace featflow
