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

constexpr int64_t kBatchTokens = 3072;

// Rows of some blocks of the text, appended to `out`.
void encode_blocks(const Model& model, const Autoencoder& autoencoder, const MatchingText& text,
                   const HarvestConfig& config, std::span<const DocumentBlock> blocks,
                   std::vector<float>& tap_values, FeatureActivations& out) {
  const auto bos = static_cast<int32_t>(model.config().bos_token_id);
  const std::vector<int32_t> ids = padded_ids(text.tokens, blocks, config.block_size, bos);
  for (const DocumentBlock& block : blocks) {
    for (int64_t at = block.begin; at < block.begin + block.size; ++at) {
      if (text.tokens.tokens[static_cast<size_t>(at)] == bos) continue;
      out.token_positions.push_back(at);
      out.documents.push_back(block.document);
      out.corpora.push_back(text.document_corpora[static_cast<size_t>(block.document)]);
    }
  }
  const int64_t count =
      tap_rows(model, config.tap, ids, std::ssize(blocks), config.block_size, tap_values);
  append(out.rows, encode(autoencoder, tap_values, count));
  FEATFLOW_CHECK(out.rows.rows() == std::ssize(out.token_positions), "a row for each token");
}

FeatureActivations no_rows(const Autoencoder& autoencoder, const MatchingText& text,
                           const HarvestConfig& config, const std::string& content_hash) {
  FeatureActivations none;
  none.model = config.model_name;
  none.autoencoder = config.autoencoder_name;
  none.corpus = content_hash;
  none.corpus_names = text.corpus_names;
  none.rows.feature_count = autoencoder.feature_count;
  return none;
}

}  // namespace

int64_t blocks_of_batch(int64_t block_size) {
  return std::max<int64_t>(1, kBatchTokens / block_size);
}

void harvest(const Model& model, const Autoencoder& autoencoder, const MatchingText& text,
             const HarvestConfig& config, const std::filesystem::path& folder) {
  require_bos(model, config.model_name);
  const std::vector<DocumentBlock> blocks = document_blocks(text.tokens, config.block_size);
  const int64_t shard_blocks = kShardRows / config.block_size;
  const int64_t batch_blocks = blocks_of_batch(config.block_size);
  const int64_t shard_count = (std::ssize(blocks) + shard_blocks - 1) / shard_blocks;
  const std::string corpus = text.content_hash();

  Progress progress("activations of " + config.model_name, text.tokens.size(), "tokens");
  std::vector<float> tap_values;
  for (int64_t shard = 0; shard < shard_count; ++shard) {
    const auto file = folder / fmt::format("shard-{:05}.safetensors", shard);
    if (std::filesystem::exists(file)) continue;
    FeatureActivations out = no_rows(autoencoder, text, config, corpus);
    const int64_t end = std::min<int64_t>((shard + 1) * shard_blocks, std::ssize(blocks));
    for (int64_t first = shard * shard_blocks; first < end; first += batch_blocks) {
      throw_if_interrupted();
      const auto batch = std::span(blocks).subspan(
          static_cast<size_t>(first), static_cast<size_t>(std::min(batch_blocks, end - first)));
      encode_blocks(model, autoencoder, text, config, batch, tap_values, out);
      progress.update(batch.back().begin + batch.back().size);
    }
    save_feature_activations(out, file);
  }
}

void stream_activations(const Model& model, const Autoencoder& autoencoder,
                        const MatchingText& text, const HarvestConfig& config,
                        const std::function<void(FeatureActivations batch)>& visit) {
  require_bos(model, config.model_name);
  const std::vector<DocumentBlock> blocks = document_blocks(text.tokens, config.block_size);
  const std::string corpus = text.content_hash();
  Progress progress("activations of " + config.model_name, text.tokens.size(), "tokens");
  std::vector<float> tap_values;
  const auto batch_blocks = static_cast<size_t>(blocks_of_batch(config.block_size));
  for (size_t first = 0; first < blocks.size(); first += batch_blocks) {
    throw_if_interrupted();
    const auto batch =
        std::span(blocks).subspan(first, std::min(batch_blocks, blocks.size() - first));
    FeatureActivations out = no_rows(autoencoder, text, config, corpus);
    encode_blocks(model, autoencoder, text, config, batch, tap_values, out);
    visit(std::move(out));
    progress.update(batch.back().begin + batch.back().size);
  }
}

void append_rows(FeatureActivations& all, const FeatureActivations& more) {
  FEATFLOW_CHECK(all.corpus == more.corpus && all.rows.feature_count == more.rows.feature_count,
                 "rows of one text and one autoencoder");
  append(all.rows, more.rows);
  const auto extend = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  extend(all.token_positions, more.token_positions);
  extend(all.documents, more.documents);
  extend(all.corpora, more.corpora);
}

}  // namespace featflow
