#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// Feature activations as delphi (EleutherAI) caches them, so that it explains and scores features
/// of ours without running a model.
struct DelphiCache {
  std::string module;      ///< The folder that stands for the tap: "blocks.0.mlp.hook_post".
  std::string model_name;  ///< Where its tokenizer is loaded from: a Hugging Face folder.
  std::string dataset;     ///< What the text is called.
  int64_t context = 256;   ///< Tokens of a context; a multiple of the examples delphi cuts (32).
  int64_t splits = 5;      ///< Files that the latents are divided over; at most one per latent.
};

struct DelphiCacheSize {
  int64_t contexts = 0;
  int64_t entries = 0;
  int64_t tokens_left_out = 0;   ///< Behind the last whole context.
  int64_t entries_left_out = 0;  ///< There, or no larger than 1e-5, which delphi calls inactive.
  std::vector<std::filesystem::path> files;
};

/// Writes `folder`/<module>/<first>_<last>.safetensors, one for each split of the latents, with
///   locations   [nnz, 3] U16, or U32 if a context or a latent of it is numbered 65,536 or more:
///               (context, position in it, latent − first), ascending in this order
///   activations [nnz] F16, above 65,504 that value
///   tokens      [contexts, context] I64
/// and config.json beside them, in place of splits that are there. The text is cut into contexts as
/// it lies in the stream, BOS tokens and all: one may hold the end of a document and the beginning
/// of the next. Reads the activations once for each split, a shard at a time; one split is in
/// memory. Throws Error if the text is shorter than a context or the activations are not of
/// positions of this text.
DelphiCacheSize write_delphi_cache(const ActivationShards& activations, const TokenShard& text,
                                   const DelphiCache& cache, const std::filesystem::path& folder);

}  // namespace featflow
