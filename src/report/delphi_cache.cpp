#include "report/delphi_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "features/columns.hpp"
#include "storage/files.hpp"
#include "storage/half.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

constexpr float kInactive = 1e-5f;  // delphi keeps what is larger
constexpr float kMaxHalf = 65504.0f;
constexpr uint32_t kMaxU16 = 65535;

/// The entries of the latents [first, end).
struct Split {
  int64_t first = 0, end = 0;
  std::vector<uint32_t> locations;    // [nnz, 3]
  std::vector<uint16_t> activations;  // [nnz] F16
  uint32_t largest = 0;               // of `locations`
};

class Reader {
 public:
  Reader(const TokenShard& text, const DelphiCache& cache)
      : text_size_(text.size()),
        context_(cache.context),
        cached_(text.size() / cache.context * cache.context) {}

  /// Adds a shard's entries to the split; the others are counted.
  void add(const FeatureActivations& shard, Split& split) {
    for (int64_t row = 0; row < shard.rows.rows(); ++row) {
      const int64_t position = shard.token_positions[static_cast<size_t>(row)];
      if (position <= before_ || position >= text_size_) {
        throw Error(
            fmt::format("activations of {}: token position {} after {}, expected ascending ones "
                        "below {}; were they encoded on another text?",
                        shard.model, position, before_, text_size_));
      }
      before_ = position;
      const EntryRange range = entries_between(shard.rows, row, split.first, split.end);
      for (int64_t i = range.begin; i < range.end; ++i) {
        const float value = shard.rows.values[static_cast<size_t>(i)];
        if (position >= cached_ || !(value > kInactive)) {
          ++left_out_;
          continue;
        }
        const auto latent = shard.rows.features[static_cast<size_t>(i)] - split.first;
        for (const int64_t index : {position / context_, position % context_, latent}) {
          split.locations.push_back(static_cast<uint32_t>(index));
          split.largest = std::max(split.largest, split.locations.back());
        }
        split.activations.push_back(half_from_float(std::min(value, kMaxHalf)));
      }
    }
  }
  void rewind() { before_ = -1; }
  int64_t left_out() const { return left_out_; }

 private:
  int64_t text_size_, context_, cached_;
  int64_t before_ = -1, left_out_ = 0;
};

void write_split(const Split& split, const std::vector<int64_t>& tokens, int64_t context,
                 const fs::path& file) {
  const int64_t entries = std::ssize(split.activations);
  std::vector<TensorView> tensors;
  std::vector<uint16_t> narrow;
  if (split.largest <= kMaxU16) {
    narrow.assign(split.locations.begin(), split.locations.end());
    tensors.push_back(tensor_view("locations", {entries, 3}, narrow));
  } else {
    tensors.push_back(tensor_view("locations", {entries, 3}, split.locations));
  }
  tensors.push_back(
      {"activations", DType::kF16, {entries}, std::as_bytes(std::span(split.activations))});
  tensors.push_back(tensor_view("tokens", {std::ssize(tokens) / context, context}, tokens));
  write_safetensors(file, tensors);
}

/// Deletes an earlier cache's splits: delphi reads whatever lies in the folder.
void remove_splits(const fs::path& folder) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".safetensors" && !stem.empty() &&
        stem.find_first_not_of("0123456789_") == std::string::npos) {
      stale.push_back(entry.path());
    }
  }
  for (const fs::path& file : stale) fs::remove(file);
}

/// The fields of delphi's CacheConfig; `ctx_len` is what its reader asks for.
std::string config_json(const DelphiCache& cache, int64_t contexts, int64_t splits) {
  const nlohmann::ordered_json config = {{"dataset_repo", cache.dataset},
                                         {"dataset_split", "matching"},
                                         {"dataset_name", ""},
                                         {"dataset_column", "text"},
                                         {"batch_size", 1},
                                         {"cache_ctx_len", cache.context},
                                         {"ctx_len", cache.context},
                                         {"n_tokens", contexts * cache.context},
                                         {"n_splits", splits},
                                         {"model_name", cache.model_name}};
  return config.dump(4, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

DelphiCacheSize write_delphi_cache(const ActivationShards& activations, const TokenShard& text,
                                   const DelphiCache& cache, const fs::path& folder) {
  FEATFLOW_CHECK(cache.context > 0 && cache.context <= kMaxU16 + 1 && cache.splits > 0,
                 "a context and splits");
  const int64_t contexts = text.size() / cache.context;
  if (contexts == 0) {
    throw Error(fmt::format("a text of {} tokens has no context of {}; a shorter one would do",
                            text.size(), cache.context));
  }
  const std::vector<int64_t> tokens(text.tokens.begin(),
                                    text.tokens.begin() + contexts * cache.context);
  const int64_t latents = activations.feature_count();
  const int64_t splits = std::min(cache.splits, std::max<int64_t>(1, latents));
  const fs::path module_folder = folder / cache.module;
  create_folder(module_folder);
  remove_splits(module_folder);

  DelphiCacheSize size;
  size.contexts = contexts;
  size.tokens_left_out = text.size() - contexts * cache.context;
  Reader reader(text, cache);
  for (int64_t i = 0; i < splits; ++i) {
    Split split;
    split.first = latents * i / splits;
    split.end = latents * (i + 1) / splits;
    reader.rewind();
    activations.for_each([&](const FeatureActivations& shard, int64_t) {
      throw_if_interrupted();
      reader.add(shard, split);
    });
    const fs::path file =
        module_folder / fmt::format("{}_{}.safetensors", split.first, split.end - 1);
    write_split(split, tokens, cache.context, file);
    size.entries += std::ssize(split.activations);
    size.files.push_back(file);
  }
  size.entries_left_out = reader.left_out();
  write_file_atomic(module_folder / "config.json", config_json(cache, contexts, splits));
  return size;
}

}  // namespace featflow
