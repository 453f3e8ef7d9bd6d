#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "activations/logit_weights.hpp"
#include "activations/matching_text.hpp"
#include "autoencoder/autoencoder.hpp"
#include "autoencoder/feature_activations.hpp"
#include "model/model.hpp"

namespace featflow {

/// Definition 18: does a match in activation go with a match in effect? A feature's effect is what
/// its removal from the tap, x ← x − f_j(x) d_j at every position but BOS, does to the
/// cross-entropy of the next token: Δ = loss without it − loss, in nats, position by position.

/// Below either, a pair whose activations match is flagged.
inline constexpr double kEffectCorrelationBar = 0.5;
inline constexpr double kCosineBar = 0.5;
/// Correlations over fewer tokens say nothing: any two points lie on a line.
inline constexpr int64_t kFewestEffectTokens = 3;

/// One model with its autoencoder and what that found in the matching text. All borrowed.
struct CausalModel {
  const Checkpoint* checkpoint = nullptr;
  const Model* model = nullptr;  ///< Of this checkpoint.
  const Autoencoder* autoencoder = nullptr;
  const FeatureActivations* activations = nullptr;
};

struct CausalConfig {
  std::string tap;
  int64_t block_size = 24;  ///< The autoencoder's own, as in the activations.
  int64_t blocks = 64;      ///< At most so many per pair, drawn from those with an active token.
  uint64_t seed = 0;        ///< The draw depends on it and on the two features alone.
  double threshold = 0.8;   ///< τ
};

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// A position counts if its next token lies in the same block: only such positions have a loss.
struct RemovalEffect {
  int64_t active_tokens = 0;      ///< Positions that count, where f_j > 0.
  double mean_change = kUnknown;  ///< Mean Δ over them; unknown if there are none.
  int64_t positions = 0;          ///< All positions that count.
  double total_change = 0;        ///< Σ Δ over them: later positions may change too.
  LogitTokens tokens;             ///< What the feature promotes and suppresses directly.
};

/// Feature j of the parent and k of the child, with their correlation r in activation.
struct CausalPair {
  int32_t parent = 0, child = 0;
  double correlation = kUnknown;
};

struct CausalResult {
  CausalPair pair;
  int64_t blocks = 0;  ///< Drawn, the same for both.
  RemovalEffect parent, child;
  int64_t tokens = 0;  ///< Positions that count, where either is active.
  /// Pearson's r of the two models' Δ over these; unknown below kFewestEffectTokens or without
  /// variance.
  double effect_correlation = kUnknown;
  double cosine = kUnknown;  ///< Of the residual directions v_j and v_k.
  double logit_correlation =
      kUnknown;          ///< Pearson's r of the logit weights, over the common vocabulary.
  bool matched = false;  ///< In activation: r ≥ τ.
  /// Matched, but effect_correlation or cosine is known and below its bar.
  bool flagged = false;
};

/// The check for every pair. Throws Error if the two models differ in hidden_size, or the
/// activations are of another text, and for a tap or autoencoder that does not fit.
std::vector<CausalResult> causal_check(const CausalModel& parent, const CausalModel& child,
                                       const MatchingText& text, std::span<const CausalPair> pairs,
                                       const CausalConfig& config);

}  // namespace featflow
