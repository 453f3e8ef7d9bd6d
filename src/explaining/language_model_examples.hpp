#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "core/rng.hpp"
#include "features/columns.hpp"
#include "features/top_examples.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// Consecutive tokens of one document, and a feature's activation on each.
struct Excerpt {
  int32_t first_row = 0;
  std::vector<int32_t> tokens;
  std::vector<float> activations;  ///< 0 where the feature is off.

  int64_t active_tokens() const;
  int32_t end_row() const { return first_row + static_cast<int32_t>(tokens.size()); }
};

/// How much a language model is shown of each feature, and asked about.
struct LanguageModelExampleCounts {
  int64_t excerpt_tokens = 24;
  int64_t min_active_tokens = 20;  ///< In each half; a feature with fewer is skipped.
  int64_t intervals = 5;           ///< Equal shares of the active tokens by activation.
  // To explain:
  int64_t explain_top = 8;
  int64_t explain_per_interval = 2;
  int64_t explain_random = 4;
  // To simulate:
  int64_t simulate_top = 4;
  int64_t simulate_per_interval = 1;
  int64_t simulate_random = 8;
  /// For detection and fuzzing: active texts of each interval, and as many inactive ones in all.
  int64_t detect_per_interval = 2;
};

/// The examples of one feature. No two excerpts of a list share a token. The active token that an
/// excerpt was chosen for stands anywhere in it.
struct FeatureSample {
  int32_t feature = 0;
  float maximum = 0;                            ///< On the half to explain from.
  std::array<int64_t, 2> active_tokens = {};    ///< In the half to explain from, and the other.
  std::vector<Excerpt> top;                     ///< Strongest first.
  std::vector<std::vector<Excerpt>> intervals;  ///< Strongest interval first.
  std::vector<Excerpt> random;
  // Of the other half:
  std::vector<Excerpt> simulate;          ///< Top, of the intervals, random.
  std::vector<Excerpt> active, inactive;  ///< inactive: the feature is off on all of it.
};

/// Draws examples of chosen features out of the matching text: those to explain from out of the
/// documents of even number, those to score with out of the odd ones.
class LanguageModelExamples {
 public:
  /// `activations` and `text`, what they were made from, are borrowed. Throws Error if a feature is
  /// out of range or named twice, the activations lie outside of the text, or a count is negative.
  LanguageModelExamples(const FeatureActivations& activations, const TokenShard& text,
                        std::span<const int32_t> features,
                        const LanguageModelExampleCounts& counts);

  /// Active tokens of a chosen feature in each half.
  std::array<int64_t, 2> active_tokens(int32_t feature) const;
  bool enough(int32_t feature) const;
  /// The same for the same seed, whatever other features are chosen. Safe for any number of
  /// threads.
  FeatureSample sample(int32_t feature, uint64_t seed) const;

 private:
  struct Taken;
  struct Half {
    FeatureColumns columns;
    std::vector<int32_t> rows;                          ///< Of its documents, ascending.
    std::vector<FeatureExamples> explained, simulated;  ///< Per chosen feature; one is empty.
    std::vector<FeatureExamples> detected;
  };

  int64_t index_of(int32_t feature) const;
  Excerpt around(int32_t row, const Column& column, Rng& rng) const;
  void draw(std::span<const Example> from, int64_t count, const Column& column, Rng& rng,
            Taken& taken, std::vector<Excerpt>& to) const;
  void draw_random(const Half& half, int64_t count, bool inactive, const Column& column, Rng& rng,
                   Taken& taken, std::vector<Excerpt>& to) const;

  const FeatureActivations& activations_;
  const TokenShard& text_;
  LanguageModelExampleCounts counts_;
  std::vector<int32_t> features_;   ///< Ascending.
  std::vector<int32_t> documents_;  ///< [n]
  std::array<Half, 2> halves_;
};

}  // namespace featflow
