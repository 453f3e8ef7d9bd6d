#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "activations/matching_text.hpp"
#include "autoencoder/autoencoder.hpp"
#include "autoencoder/feature_activations.hpp"
#include "model/model.hpp"

namespace featflow {

struct HarvestConfig {
  std::string tap;
  int64_t block_size = 24;  ///< The autoencoder's own: blocks are what the model sees, alone.
  std::string model_name, autoencoder_name;
};

/// Blocks that go through the model at a time: some 3,000 tokens, 128 blocks of 24.
int64_t blocks_of_batch(int64_t block_size);

/// Sparse feature activations of every token of the text but BOS, written to `folder` as shards
/// of at most kShardRows rows ("feature activations" in docs/formats.md). A document's blocks are
/// its own: a block never crosses into the next document. Shards that are there already are kept
/// (resume); on Ctrl-C throws Interrupted between two shards.
void harvest(const Model& model, const Autoencoder& autoencoder, const MatchingText& text,
             const HarvestConfig& config, const std::filesystem::path& folder);

/// The same rows in the same order, but handed to `visit` some thousands at a time, and kept
/// nowhere. Throws Interrupted between two.
void stream_activations(const Model& model, const Autoencoder& autoencoder,
                        const MatchingText& text, const HarvestConfig& config,
                        const std::function<void(FeatureActivations batch)>& visit);

/// Appends the rows of `more`, which are of the same text, models and features.
void append_rows(FeatureActivations& all, const FeatureActivations& more);

}  // namespace featflow
