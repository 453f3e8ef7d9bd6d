#include "report/delphi_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/error.hpp"
#include "features/dense_activations.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int32_t kBos = 1;
constexpr char kModule[] = "blocks.0.mlp.hook_post";

/// Documents of 2 … 13 tokens, the first of which is BOS.
TokenShard random_text(int64_t documents, uint64_t seed) {
  Rng rng(seed);
  TokenShard text;
  text.vocab_size = 300;
  for (int64_t d = 0; d < documents; ++d) {
    text.document_starts.push_back(text.size());
    text.tokens.push_back(kBos);
    const auto length = 1 + rng.below(12);
    for (uint64_t i = 0; i < length; ++i) {
      text.tokens.push_back(static_cast<int32_t>(3 + rng.below(297)));
    }
  }
  return text;
}

/// Activations on every token but BOS, which a harvest has no rows for. `dense` has the same rows.
FeatureActivations activations_on(const TokenShard& text, const DenseRows& dense, int64_t m) {
  FeatureActivations activations = activations_from_dense(dense, m);
  activations.token_positions.clear();
  for (int64_t i = 0; i < text.size(); ++i) {
    if (text.tokens[static_cast<size_t>(i)] != kBos) activations.token_positions.push_back(i);
  }
  return activations;
}

int64_t words(const TokenShard& text) { return text.size() - text.document_count(); }

/// A cache read back: (position in the stream, latent) → activation, by nothing but the format.
struct ReadBack {
  std::map<std::pair<int64_t, int64_t>, double> values;
  std::vector<int64_t> tokens;
};

ReadBack read_back(const DelphiCacheSize& size, int64_t context) {
  ReadBack cache;
  for (const std::filesystem::path& path : size.files) {
    const SafetensorsFile file(path);
    const std::string name = path.stem().string();
    const int64_t first = std::stoll(name.substr(0, name.find('_')));
    const int64_t last = std::stoll(name.substr(name.find('_') + 1));
    const int64_t entries = file.info("activations").shape.at(0);
    std::vector<int64_t> locations;
    if (file.info("locations").dtype == DType::kU16) {
      const auto stored = file.read<uint16_t>("locations", {entries, 3});
      locations.assign(stored.begin(), stored.end());
    } else {
      const auto stored = file.read<uint32_t>("locations", {entries, 3});
      locations.assign(stored.begin(), stored.end());
    }
    EXPECT_EQ(file.info("activations").dtype, DType::kF16);
    const std::vector<float> activations = file.read_float("activations");
    std::tuple<int64_t, int64_t, int64_t> before{-1, -1, -1};
    for (int64_t i = 0; i < entries; ++i) {
      const auto at = static_cast<size_t>(3 * i);
      const std::tuple location{locations[at], locations[at + 1], locations[at + 2]};
      EXPECT_LT(before, location);  // delphi's reader needs the order of torch.nonzero
      before = location;
      EXPECT_LT(locations[at + 1], context);
      EXPECT_LE(first + locations[at + 2], last);
      cache.values[{locations[at] * context + locations[at + 1], first + locations[at + 2]}] =
          activations[static_cast<size_t>(i)];
    }
    const auto tokens = file.read<int64_t>("tokens", {size.contexts, context});
    if (!cache.tokens.empty()) {
      EXPECT_EQ(cache.tokens, tokens);
    }
    cache.tokens = tokens;
  }
  return cache;
}

TEST(DelphiCache, HoldsTheActivationsOfWholeContexts) {
  constexpr int64_t kFeatures = 23, kContext = 16;
  const TokenShard text = random_text(60, 1);
  DenseRows dense = random_dense(words(text), kFeatures, 0.2, 2);
  dense[3][4] = 3e-6f;  // inactive for delphi
  dense[4][5] = 1e6f;   // beyond a half
  const FeatureActivations activations = activations_on(text, dense, kFeatures);
  const TemporaryFolder folder;
  save_in_shards(activations, 100, folder / "activations");
  const DelphiCacheSize size = write_delphi_cache(
      ActivationShards(folder / "activations"), text,
      {.module = kModule, .model_name = "m", .dataset = "d", .context = kContext, .splits = 5},
      folder / "out");

  EXPECT_EQ(size.contexts, text.size() / kContext);
  EXPECT_EQ(size.tokens_left_out, text.size() % kContext);
  std::vector<std::string> names;
  for (const auto& file : size.files) names.push_back(file.filename().string());
  EXPECT_THAT(names, testing::ElementsAre("0_3.safetensors", "4_8.safetensors", "9_12.safetensors",
                                          "13_17.safetensors", "18_22.safetensors"));
  const ReadBack cache = read_back(size, kContext);
  const int64_t cached = size.contexts * kContext;
  EXPECT_TRUE(std::equal(cache.tokens.begin(), cache.tokens.end(), text.tokens.begin(),
                         text.tokens.begin() + cached));
  int64_t expected = 0, left_out = 0;
  for (size_t row = 0; row < dense.size(); ++row) {
    const int64_t position = activations.token_positions[row];
    for (int64_t j = 0; j < kFeatures; ++j) {
      const double value = dense[row][static_cast<size_t>(j)];
      if (value == 0) continue;
      const auto found = cache.values.find({position, j});
      if (position >= cached || value <= 1e-5) {
        ++left_out;
        EXPECT_EQ(found, cache.values.end());
        continue;
      }
      ++expected;
      ASSERT_NE(found, cache.values.end()) << position << " " << j;
      const double stored = std::min(value, 65504.0);
      EXPECT_NEAR(found->second, stored, std::max(stored * 0x1p-11, 0x1p-25));
    }
  }
  EXPECT_EQ(size.entries, expected);
  EXPECT_EQ(std::ssize(cache.values), expected);
  EXPECT_EQ(size.entries_left_out, left_out);
  EXPECT_GT(left_out, 1);
}

TEST(DelphiCache, ConfigSaysHowItWasCut) {
  const TokenShard text = random_text(40, 3);
  const FeatureActivations activations =
      activations_on(text, random_dense(words(text), 7, 0.3, 4), 7);
  const TemporaryFolder folder;
  write_delphi_cache(ActivationShards(activations), text,
                     {.module = kModule,
                      .model_name = "runs/quick/model/Lua",
                      .dataset = "quick",
                      .context = 32,
                      .splits = 2},
                     folder.path());
  const auto config = nlohmann::json::parse(read_file(folder / kModule / "config.json"));
  EXPECT_EQ(config["model_name"], "runs/quick/model/Lua");
  EXPECT_EQ(config["dataset_repo"], "quick");
  EXPECT_EQ(config["cache_ctx_len"], 32);
  EXPECT_EQ(config["ctx_len"], 32);
  EXPECT_EQ(config["n_splits"], 2);
  EXPECT_EQ(config["n_tokens"], text.size() / 32 * 32);
}

TEST(DelphiCache, AsManyFilesAsLatentsAtMostAndSilentLatentsHaveNoEntries) {
  const TokenShard text = random_text(40, 5);
  DenseRows dense = random_dense(words(text), 3, 0.4, 6);
  for (auto& row : dense) row[1] = 0;
  const FeatureActivations activations = activations_on(text, dense, 3);
  const TemporaryFolder folder;
  const DelphiCacheSize size = write_delphi_cache(
      ActivationShards(activations), text,
      {.module = kModule, .model_name = "", .dataset = "", .context = 8, .splits = 5},
      folder.path());
  ASSERT_EQ(size.files.size(), 3u);
  EXPECT_EQ(SafetensorsFile(size.files[1]).info("activations").shape.at(0), 0);
  EXPECT_EQ(std::ssize(read_back(size, 8).values), size.entries);
}

TEST(DelphiCache, TakesThePlaceOfAnEarlierOne) {
  const TokenShard text = random_text(40, 9);
  const FeatureActivations activations =
      activations_on(text, random_dense(words(text), 8, 0.4, 10), 8);
  const TemporaryFolder folder;
  DelphiCache cache{.module = kModule, .model_name = "", .dataset = "", .context = 8, .splits = 4};
  write_delphi_cache(ActivationShards(activations), text, cache, folder.path());
  write_file_atomic(folder / kModule / "mine.safetensors", "kept");
  cache.splits = 1;
  write_delphi_cache(ActivationShards(activations), text, cache, folder.path());
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder / kModule)) {
    names.insert(entry.path().filename().string());
  }
  EXPECT_THAT(names, testing::ElementsAre("0_7.safetensors", "config.json", "mine.safetensors"));
}

TEST(DelphiCache, LocationsAreWideWhereAContextOrLatentIs) {
  // 65,537 contexts of one token, and as many latents: wide if the last of either is met.
  TokenShard text;
  text.vocab_size = 10;
  text.document_starts = {0};
  text.tokens.assign(65'537, 3);
  const auto write = [&](int64_t position, int32_t latent, int64_t splits) {
    FeatureActivations activations;
    activations.rows.feature_count = 65'537;
    activations.rows.row_offsets = {0, 1};
    activations.rows.features = {latent};
    activations.rows.values = {0.5f};
    activations.token_positions = {position};
    const TemporaryFolder folder;
    const DelphiCacheSize size = write_delphi_cache(
        ActivationShards(activations), text,
        {.module = kModule, .model_name = "", .dataset = "", .context = 1, .splits = splits},
        folder.path());
    EXPECT_EQ(read_back(size, 1).values,
              (std::map<std::pair<int64_t, int64_t>, double>{{{position, latent}, 0.5}}));
    return SafetensorsFile(size.files.back()).info("locations").dtype;
  };
  EXPECT_EQ(write(65'535, 65'535, 1), DType::kU16);
  EXPECT_EQ(write(65'536, 0, 1), DType::kU32);
  EXPECT_EQ(write(0, 65'536, 1), DType::kU32);
  EXPECT_EQ(write(0, 65'536, 2), DType::kU16);  // in the second file, less its first latent
}

TEST(DelphiCache, RefusesAnotherTextOrOneThatIsTooShort) {
  const TokenShard text = random_text(40, 7);
  const FeatureActivations activations =
      activations_on(text, random_dense(words(text), 3, 0.4, 8), 3);
  const TemporaryFolder folder;
  DelphiCache cache{
      .module = kModule, .model_name = "", .dataset = "", .context = 1000, .splits = 1};
  EXPECT_THAT(
      [&] { write_delphi_cache(ActivationShards(activations), text, cache, folder.path()); },
      ThrowsMessage<Error>(HasSubstr("has no context of 1000")));
  cache.context = 8;
  TokenShard shorter = text;
  shorter.tokens.resize(100);
  EXPECT_THAT(
      [&] { write_delphi_cache(ActivationShards(activations), shorter, cache, folder.path()); },
      ThrowsMessage<Error>(HasSubstr("were they encoded on another text?")));
}

}  // namespace
}  // namespace featflow
