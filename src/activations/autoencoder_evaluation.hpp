#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "activations/explained_loss.hpp"
#include "autoencoder/activation_source.hpp"
#include "autoencoder/evaluation.hpp"

namespace featflow {

struct AutoencoderEvaluationConfig {
  std::string tap;
  int64_t block_size = 24;
  int64_t explained_loss_tokens = 100'000;  ///< Held out, in all; equal per corpus.
  double l1_coefficient = 0;  ///< Of its training, for the table λ, L0, explained loss; 0: unknown.
};

/// Definitions 6 and 7 on held-out text: what `sae eval` prints and evaluation.json holds.
struct AutoencoderEvaluation {
  AutoencoderStatistics statistics;
  std::vector<std::pair<std::string, ExplainedLoss>> per_corpus;
  double l1_coefficient = 0;
  int64_t input_size = 0;

  /// Averaged equally over corpora.
  double explained_loss_zero() const;
  double explained_loss_mean() const;
};

/// `rows` gives the held-out activations for the statistics, `texts` the corpora for explained
/// loss.
AutoencoderEvaluation evaluate_autoencoder(
    const Model& model, const Autoencoder& autoencoder, ActivationSource& rows,
    const std::vector<std::pair<std::string, TokenShard>>& texts,
    const AutoencoderEvaluationConfig& config);

std::string to_json(const AutoencoderEvaluation& evaluation);
/// For people, the paper's figures beside ours.
std::string describe(const AutoencoderEvaluation& evaluation);

}  // namespace featflow
