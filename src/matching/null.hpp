#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/rng.hpp"
#include "matching/best_correlations.hpp"

namespace featflow {

/// Rows in groups, ascending within each: what nulls exchange rows within.
struct RowGroups {
  std::vector<int64_t> offsets = {0};  ///< [groups + 1]
  std::vector<int32_t> rows;           ///< [n]
};

/// One group per corpus; one of all rows where rows carry no corpus.
RowGroups rows_by_corpus(const FeatureActivations& activations);
/// One group per corpus and token. `tokens` [n]: the token of each row. Throws Error for another
/// number of tokens.
RowGroups rows_by_corpus_and_token(const FeatureActivations& activations,
                                   std::span<const int32_t> tokens);

/// Permutations [n] of whole rows that leave each row in its group: row t becomes row order[t].
/// What is active together stays together; what it is active on does not.
std::vector<int32_t> shuffle_within(const RowGroups& groups, Rng& rng);
/// The i-th row of a group of c becomes its ((i + o) mod c)-th, o uniform in [d, c − d] with d = 4%
/// of c (at least 1), so that no text meets its own neighbourhood again. Documents stay in order:
/// unlike a shuffle this keeps how long a feature stays active.
std::vector<int32_t> shift_within(const RowGroups& groups, Rng& rng);

enum class NullKind {
  kShiftedRows,  ///< (a) A's rows shifted within each corpus: chance.
  kSameToken,    ///< (b) A's rows exchanged among those of one token and corpus: the token.
  kRandomModel,  ///< (c) Features of a model with random weights: text and architecture.
};
std::string_view name_of(NullKind kind);  ///< "shifted_rows", "same_token", "random_model"
/// Throws Error for another name.
NullKind parse_null_kind(std::string_view name);

/// Definitions 16: the maximum over all candidates, computed again in every run.
struct NullMaxima {
  NullKind kind = NullKind::kShiftedRows;
  /// Share of the rows of A that stood elsewhere, mean over the runs. Under kSameToken the only row
  /// of its token stays where it is and carries its correlation into the null, which is the more
  /// conservative the fewer rows move.
  double moved = 1;
  BestCorrelations maxima;
};

struct NullOptions {
  int64_t runs = 20;  ///< R ≥ 20
  uint64_t seed = 0;
  BestCorrelationOptions correlation;
};

NullMaxima shifted_rows_null(const FeatureActivations& a, const FeatureActivations& b,
                             const NullOptions& options = {});
/// `tokens` [n]: the token of each row.
NullMaxima same_token_null(const FeatureActivations& a, const FeatureActivations& b,
                           std::span<const int32_t> tokens, const NullOptions& options = {});
/// One run for each autoencoder on a model of the same shape with random weights, encoded on the
/// same rows: the best partners there of A's features, and of B's.
NullMaxima random_model_null(const FeatureActivations& a, const FeatureActivations& b,
                             std::span<const FeatureActivations* const> random_models,
                             const BestCorrelationOptions& options = {});

}  // namespace featflow
