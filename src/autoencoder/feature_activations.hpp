#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// Feature activations that are read a shard at a time, so that they are never whole in memory: a
/// file, a folder of shards (shard-00000.safetensors, …), or, as one shard, what is in memory.
class ActivationShards {
 public:
  /// Throws Error if there is no such file, or a shard of the folder is missing.
  explicit ActivationShards(const std::filesystem::path& file_or_folder);
  explicit ActivationShards(const FeatureActivations& whole);  ///< Borrowed.

  /// Of all shards; the rest of it is that of the first one, without its rows.
  int64_t rows() const { return first_rows_.back(); }
  int64_t active() const { return active_; }
  int64_t feature_count() const { return about_.rows.feature_count; }
  const FeatureActivations& about() const { return about_; }
  /// The activations, if they are in memory; else null.
  const FeatureActivations* whole() const { return whole_; }
  /// What for_each needs, with room for the visitor's copy of a shard.
  int64_t working_bytes() const;

  /// Calls visit(shard, its first row) in order of the rows; two shards are loaded at a time.
  /// Throws Error as load_feature_activations does.
  void for_each(
      const std::function<void(const FeatureActivations& shard, int64_t first_row)>& visit) const;

 private:
  FeatureActivations about_;
  const FeatureActivations* whole_ = nullptr;
  std::vector<std::filesystem::path> files_;
  std::vector<int64_t> first_rows_ = {0};  // [shards + 1]
  int64_t active_ = 0, largest_ = 0;       // entries: of all shards, of the largest
  int64_t most_rows_ = 0;                  // of a shard
};

/// All shards in memory. Everything is validated: offsets monotone, features ascending in a row and
/// below feature_count, values finite and positive.
FeatureActivations load_feature_activations(const std::filesystem::path& file_or_folder);

}  // namespace featflow
