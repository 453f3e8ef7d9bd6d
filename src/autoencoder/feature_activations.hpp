#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// Sparse feature activations of one autoencoder on the matching text: the format of
/// docs/formats.md ("feature activations"). Rows are tokens; two files can be matched only if
/// `corpus` and the number of rows are equal.
struct FeatureActivations {
  SparseRows rows;
  std::vector<int64_t> token_positions;  ///< [n] in the matching token stream
  std::vector<int32_t> documents;        ///< [n] ascending; empty if the file has none
  std::vector<uint8_t> corpora;          ///< [n] index into corpus_names; empty if none
  std::vector<std::string> corpus_names;
  std::string model, autoencoder;
  std::string corpus;  ///< Hash of the token artefact and the positions.
};

/// Rows per shard of a folder written by a resumable harvest.
inline constexpr int64_t kShardRows = 131'072;

void save_feature_activations(const FeatureActivations& activations,
                              const std::filesystem::path& file);
/// A file, or a folder of shards (shard-00000.safetensors, …). Everything is validated: offsets
/// monotone, features ascending in a row and below feature_count, values finite and positive.
FeatureActivations load_feature_activations(const std::filesystem::path& file_or_folder);

}  // namespace featflow
