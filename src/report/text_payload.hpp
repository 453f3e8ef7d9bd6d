#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "features/example_text.hpp"
#include "features/statistics.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// A stretch of the matching text that the report shows with everything that is active on it.
struct TextSample {
  int corpus = -1;  ///< Index into corpus_names; −1 if corpora are unknown.
  int64_t document = 0;
  TextWindow window;
};

/// Up to `per_corpus` stretches of each corpus, of at most `tokens` tokens: in documents at even
/// distances among those of the corpus, from the middle of each. The same for every model that was
/// encoded on the same text.
std::vector<TextSample> choose_samples(const FeatureActivations& activations,
                                       const TokenShard& text, int64_t per_corpus, int64_t tokens);

/// Every active feature of each token of the window, the strongest first: [[feature, level, …]],
/// levels in 1 … 255 of the feature's maximum; null where the token was not encoded.
nlohmann::ordered_json active_features(const FeatureActivations& activations,
                                       const std::vector<float>& maximum, const TextWindow& window);

}  // namespace featflow
