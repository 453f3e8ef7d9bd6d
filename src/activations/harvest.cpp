#include "activations/harvest.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "activations/document_blocks.hpp"
#include "activations/model_source.hpp"
#include "autoencoder/feature_activations.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/progress.hpp"

namespace featflow {
namespace {

void append(SparseRows& all, const SparseRows& more) {
  const int64_t offset = all.row_offsets.back();
  for (size_t r = 1; r < more.row_offsets.size(); ++r) {
    all.row_offsets.push_back(offset + more.row_offsets[r]);
  }
  all.features.insert(all.features.end(), more.features.begin(), more.features.end());
  all.values.insert(all.values.end(), more.values.begin(), more.values.end());
}

}  // namespace

void harvest(const Model& model, const Autoencoder& autoencoder, const MatchingText& text,
             const HarvestConfig& config, const std::filesystem::path& folder) {
  constexpr int64_t kBatchBlocks = 128;
  const int32_t bos = static_cast<int32_t>(model.config().bos_token_id);
  if (bos < 0) {
    throw Error(
        fmt::format("activations of {}: its config.json has no bos_token_id, expected that of its "
                    "tokenizer: BOS positions are left out",
                    config.model_name));
  }
  const std::vector<DocumentBlock> blocks = document_blocks(text.tokens, config.block_size);
  const int64_t shard_blocks = kShardRows / config.block_size;
  const int64_t shard_count = (std::ssize(blocks) + shard_blocks - 1) / shard_blocks;
  const std::string corpus = text.content_hash();

  Progress progress("activations of " + config.model_name, text.tokens.size(), "tokens");
  std::vector<float> rows;
  for (int64_t shard = 0; shard < shard_count; ++shard) {
    const auto file = folder / fmt::format("shard-{:05}.safetensors", shard);
    if (std::filesystem::exists(file)) continue;
    FeatureActivations out;
    out.model = config.model_name;
    out.autoencoder = config.autoencoder_name;
    out.corpus = corpus;
    out.corpus_names = text.corpus_names;
    out.rows.feature_count = autoencoder.feature_count;

    const int64_t end = std::min<int64_t>((shard + 1) * shard_blocks, std::ssize(blocks));
    for (int64_t first = shard * shard_blocks; first < end; first += kBatchBlocks) {
      throw_if_interrupted();
      const auto batch = std::span(blocks).subspan(
          static_cast<size_t>(first), static_cast<size_t>(std::min(kBatchBlocks, end - first)));
      const std::vector<int32_t> ids = padded_ids(text.tokens, batch, config.block_size, bos);
      for (size_t b = 0; b < batch.size(); ++b) {
        for (int64_t i = 0; i < batch[b].size; ++i) {
          if (text.tokens.tokens[static_cast<size_t>(batch[b].begin + i)] == bos) continue;
          out.token_positions.push_back(batch[b].begin + i);
          out.documents.push_back(batch[b].document);
          out.corpora.push_back(text.document_corpora[static_cast<size_t>(batch[b].document)]);
        }
      }
      const int64_t count =
          tap_rows(model, config.tap, ids, std::ssize(batch), config.block_size, rows);
      append(out.rows, encode(autoencoder, rows, count));
      progress.update(batch.back().begin + batch.back().size);
    }
    FEATFLOW_CHECK(out.rows.rows() == std::ssize(out.token_positions), "a row for each token");
    save_feature_activations(out, file);
  }
}

}  // namespace featflow
