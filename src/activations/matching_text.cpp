#include "activations/matching_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "storage/files.hpp"

namespace featflow {

std::string MatchingText::content_hash() const {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(tokens.tokens)));
  hasher.update(std::as_bytes(std::span(tokens.document_starts)));
  hasher.update(std::as_bytes(std::span(document_corpora)));
  for (const std::string& name : corpus_names) hasher.field(name);
  return hasher.hex();
}

MatchingText build_matching_text(const std::vector<std::pair<std::string, TokenShard>>& corpora,
                                 int64_t tokens_per_corpus) {
  FEATFLOW_CHECK(!corpora.empty() && corpora.size() < 256, "1 to 255 corpora");
  for (const auto& [name, shard] : corpora) {
    if (shard.size() == 0) throw Error(fmt::format("corpus {}: its matching split is empty", name));
    tokens_per_corpus = std::min(tokens_per_corpus, shard.size());
  }
  MatchingText text;
  text.tokens.vocab_size = corpora.front().second.vocab_size;
  for (const auto& [name, shard] : corpora) {
    const auto offset = text.tokens.size();
    text.tokens.tokens.insert(text.tokens.tokens.end(), shard.tokens.begin(),
                              shard.tokens.begin() + tokens_per_corpus);
    for (const int64_t start : shard.document_starts) {
      if (start >= tokens_per_corpus) break;
      text.tokens.document_starts.push_back(offset + start);
      text.document_corpora.push_back(static_cast<uint8_t>(text.corpus_names.size()));
    }
    text.corpus_names.push_back(name);
  }
  return text;
}

MatchingText first_tokens(const MatchingText& text, int64_t tokens_per_corpus) {
  MatchingText shorter;
  shorter.tokens.vocab_size = text.tokens.vocab_size;
  shorter.corpus_names = text.corpus_names;
  std::vector<int64_t> taken(text.corpus_names.size(), 0);
  const std::vector<int64_t>& starts = text.tokens.document_starts;
  for (size_t d = 0; d < starts.size(); ++d) {
    const int64_t end = d + 1 < starts.size() ? starts[d + 1] : text.tokens.size();
    int64_t& of_corpus = taken[text.document_corpora[d]];
    const int64_t size = std::min(end - starts[d], tokens_per_corpus - of_corpus);
    if (size <= 0) continue;
    of_corpus += size;
    shorter.tokens.document_starts.push_back(shorter.tokens.size());
    shorter.document_corpora.push_back(text.document_corpora[d]);
    const auto begin = text.tokens.tokens.begin() + starts[d];
    shorter.tokens.tokens.insert(shorter.tokens.tokens.end(), begin, begin + size);
  }
  return shorter;
}

void save_matching_text(const MatchingText& text, const std::filesystem::path& folder) {
  save_token_shard(text.tokens, folder / "tokens.safetensors");
  const nlohmann::json facts = {{"corpora", text.corpus_names},
                                {"document_corpora", text.document_corpora},
                                {"tokens", text.tokens.size()},
                                {"content_hash", text.content_hash()}};
  write_file_atomic(folder / "matching_text.json", facts.dump() + "\n");
}

MatchingText load_matching_text(const std::filesystem::path& folder) {
  MatchingText text;
  text.tokens = load_token_shard(folder / "tokens.safetensors");
  const auto file = folder / "matching_text.json";
  try {
    const auto facts = nlohmann::json::parse(read_file(file));
    text.corpus_names = facts.at("corpora").get<std::vector<std::string>>();
    text.document_corpora = facts.at("document_corpora").get<std::vector<uint8_t>>();
  } catch (const nlohmann::json::exception& error) {
    throw Error(
        fmt::format("{}: not the description of a matching text: {}", file.string(), error.what()));
  }
  if (std::ssize(text.document_corpora) != text.tokens.document_count() ||
      std::ranges::any_of(text.document_corpora,
                          [&](uint8_t c) { return c >= text.corpus_names.size(); })) {
    throw Error(fmt::format("{}: document_corpora does not fit the {} documents of {} corpora",
                            file.string(), text.tokens.document_count(), text.corpus_names.size()));
  }
  return text;
}

}  // namespace featflow
