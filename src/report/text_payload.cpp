#include "report/text_payload.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace featflow {

using Json = nlohmann::ordered_json;

std::vector<TextSample> choose_samples(const FeatureActivations& activations,
                                       const TokenShard& text, int64_t per_corpus, int64_t tokens) {
  // The corpus of a document is that of its first encoded token.
  const size_t corpora = std::max<size_t>(1, activations.corpus_names.size());
  std::vector<std::vector<int64_t>> documents(activations.corpora.empty() ? 1 : corpora);
  int64_t before = -1;
  for (size_t row = 0; row < activations.token_positions.size(); ++row) {
    const int64_t document = text.document_of(activations.token_positions[row]);
    if (document == before) continue;
    before = document;
    documents[activations.corpora.empty() ? 0 : activations.corpora[row]].push_back(document);
  }
  std::vector<TextSample> samples;
  for (size_t c = 0; c < documents.size(); ++c) {
    const int64_t count = std::ssize(documents[c]);
    const int64_t chosen = std::min(per_corpus, count);
    for (int64_t i = 0; i < chosen; ++i) {
      const int64_t document =
          documents[c][static_cast<size_t>((2 * i + 1) * count / (2 * chosen))];
      const int64_t start = text.document_starts[static_cast<size_t>(document)];
      const int64_t end = text.document_end(document);
      const int64_t begin = start + std::max<int64_t>(0, end - start - tokens) / 2;
      samples.push_back({activations.corpora.empty() ? -1 : static_cast<int>(c),
                         document,
                         {begin, std::min(begin + tokens, end), begin}});
    }
  }
  return samples;
}

Json active_features(const FeatureActivations& activations, const std::vector<float>& maximum,
                     const TextWindow& window) {
  const std::vector<int64_t>& positions = activations.token_positions;
  const SparseRows& rows = activations.rows;
  Json tokens = Json::array();
  auto at = std::lower_bound(positions.begin(), positions.end(), window.begin);
  for (int64_t position = window.begin; position < window.end; ++position) {
    if (at == positions.end() || *at != position) {
      tokens.push_back(nullptr);
      continue;
    }
    const auto row = static_cast<size_t>(at++ - positions.begin());
    std::vector<std::pair<int, int32_t>> active;  // level, feature
    for (int64_t i = rows.row_offsets[row]; i < rows.row_offsets[row + 1]; ++i) {
      const int32_t j = rows.features[static_cast<size_t>(i)];
      active.emplace_back(
          activation_level(rows.values[static_cast<size_t>(i)], maximum[static_cast<size_t>(j)]),
          j);
    }
    std::sort(active.begin(), active.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    Json pairs = Json::array();
    for (const auto& [level, j] : active) pairs.push_back(j), pairs.push_back(level);
    tokens.push_back(std::move(pairs));
  }
  return tokens;
}

}  // namespace featflow
