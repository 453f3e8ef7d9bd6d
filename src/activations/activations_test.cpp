#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "activations/autoencoder_evaluation.hpp"
#include "activations/explained_loss.hpp"
#include "activations/harvest.hpp"
#include "activations/matching_text.hpp"
#include "activations/model_source.hpp"
#include "autoencoder/feature_activations.hpp"
#include "core/error.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTap = "blocks.0.mlp.hook_post";
constexpr int32_t kBos = 1;

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 50;
  config.hidden_size = 16;
  config.intermediate_size = 12;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.initializer_range = 0.5;  // so that ablation matters
  return config;
}

std::shared_ptr<const Model> small_model(uint64_t seed = 5) {
  Rng rng(seed);
  return std::make_shared<const Model>(Model::random(small_config(), rng));
}

// Documents of 5 to 40 random tokens, each after a BOS.
TokenShard random_shard(int64_t documents, uint64_t seed) {
  Rng rng(seed);
  TokenShard shard;
  shard.vocab_size = 50;
  for (int64_t d = 0; d < documents; ++d) {
    shard.document_starts.push_back(shard.size());
    shard.tokens.push_back(kBos);
    const uint64_t length = 5 + rng.below(36);
    for (uint64_t i = 0; i < length; ++i) {
      shard.tokens.push_back(static_cast<int32_t>(3 + rng.below(47)));
    }
  }
  return shard;
}

// f = [ReLU(x), ReLU(−x)], x̂ = x: exact on any input.
Autoencoder identity_autoencoder(int64_t n) {
  Autoencoder a;
  a.input_size = n;
  a.feature_count = 2 * n;
  a.encoder_weight.assign(static_cast<size_t>(2 * n * n), 0);
  for (int64_t j = 0; j < n; ++j) {
    a.encoder_weight[static_cast<size_t>(j * n + j)] = 1;
    a.encoder_weight[static_cast<size_t>((n + j) * n + j)] = -1;
  }
  a.decoder_weight = a.encoder_weight;
  a.encoder_bias.assign(static_cast<size_t>(2 * n), 0);
  a.decoder_bias.assign(static_cast<size_t>(n), 0);
  return a;
}

Autoencoder random_autoencoder(int64_t n, int64_t m, uint64_t seed) {
  Rng rng(seed);
  Autoencoder a;
  a.input_size = n;
  a.feature_count = m;
  for (auto [weights, size] : {std::pair{&a.encoder_weight, m * n},
                               {&a.decoder_weight, m * n},
                               {&a.encoder_bias, m},
                               {&a.decoder_bias, n}}) {
    weights->resize(static_cast<size_t>(size));
    for (float& w : *weights) w = static_cast<float>(0.5 * rng.normal());
  }
  return a;
}

TEST(ModelSource, RowsAreTheTapWithoutBos) {
  const auto model = small_model();
  const auto shard = std::make_shared<const TokenShard>(random_shard(60, 1));
  const auto blocks = std::make_shared<const BlockMixture>(
      std::vector<MixtureComponent>{{"text", shard, 1.0}}, 8, 12, 3);
  ModelActivationSource source(model, kTap, blocks, 4);
  ASSERT_EQ(source.width(), 12);
  ASSERT_EQ(source.batch_count(), 3);
  for (int64_t step = 0; step < 3; ++step) {
    const std::vector<int32_t> ids = blocks->tokens(step * 4, 4);
    std::vector<float> expected;
    const Tap keep{kTap, [&](TapValues v) {
                     for (int64_t r = 0; r < v.rows; ++r) {
                       if (ids[static_cast<size_t>(r)] == kBos) continue;
                       expected.insert(expected.end(), v.row(r).begin(), v.row(r).end());
                     }
                   }};
    model->logits(ids, 4, 8, {&keep, 1});
    std::vector<float> rows, again;
    EXPECT_EQ(source.batch(step, rows) * 12, std::ssize(expected));
    EXPECT_EQ(rows, expected);
    source.batch(step, again);
    EXPECT_EQ(rows, again);
  }
  EXPECT_THROW(ModelActivationSource(model, "blocks.7.mlp.hook_post", blocks, 4), Error);
}

TEST(ExplainedLoss, KnownAutoencodersHaveKnownValues) {
  const auto model = small_model();
  const TokenShard text = random_shard(40, 2);
  const Autoencoder exact = identity_autoencoder(12);
  const ExplainedLoss perfect = explained_loss(*model, exact, kTap, text, 8, 600);
  EXPECT_NEAR(perfect.reconstructed, perfect.original, 1e-5);
  EXPECT_NEAR(perfect.zero(), 1, 1e-3);
  EXPECT_NEAR(perfect.mean(), 1, 1e-3);
  EXPECT_GT(std::abs(perfect.zero_ablated - perfect.original), 0.01);
  EXPECT_EQ(perfect.positions, 600 / 8 * 7);

  // An autoencoder without an active feature gives b_d: zero, or the mean.
  Autoencoder dead = random_autoencoder(12, 20, 3);
  dead.encoder_bias.assign(20, -1e9f);
  dead.decoder_bias.assign(12, 0);
  const ExplainedLoss zero = explained_loss(*model, dead, kTap, text, 8, 600);
  EXPECT_EQ(zero.reconstructed, zero.zero_ablated);
  EXPECT_EQ(zero.zero(), 0);

  std::vector<double> mean(12);
  std::vector<float> rows;
  const int64_t count = tap_rows(*model, kTap, std::span(text.tokens).first(600), 75, 8, rows);
  for (size_t i = 0; i < rows.size(); ++i) mean[i % 12] += static_cast<double>(rows[i]);
  for (size_t j = 0; j < 12; ++j) {
    dead.decoder_bias[j] = static_cast<float>(mean[j] / static_cast<double>(count));
  }
  const ExplainedLoss average = explained_loss(*model, dead, kTap, text, 8, 600);
  EXPECT_NEAR(average.reconstructed, average.mean_ablated, 1e-6);
}

TEST(ExplainedLoss, RefusesWhatDoesNotFit) {
  const auto model = small_model();
  const TokenShard text = random_shard(40, 2);
  EXPECT_THROW(explained_loss(*model, identity_autoencoder(13), kTap, text, 8, 600), Error);
  EXPECT_THROW(explained_loss(*model, identity_autoencoder(12), kTap, text, 8, 7), Error);
}

TEST(MatchingText, TakesTheSameNumberOfTokensFromEach) {
  const TokenShard a = random_shard(30, 4), b = random_shard(10, 5);
  const MatchingText text = build_matching_text({{"a", a}, {"b", b}}, 100'000);
  EXPECT_EQ(text.tokens.size(), 2 * std::min(a.size(), b.size()));
  EXPECT_EQ(text.document_corpora.size(), text.tokens.document_starts.size());
  const int64_t half = text.tokens.size() / 2;
  EXPECT_TRUE(std::equal(b.tokens.begin(), b.tokens.end(), text.tokens.tokens.begin() + half));
  const fs::path folder = fs::path(testing::TempDir()) / "featflow_matching_text";
  create_folder(folder);
  save_matching_text(text, folder);
  EXPECT_EQ(load_matching_text(folder).content_hash(), text.content_hash());
  EXPECT_THROW(build_matching_text({{"a", a}, {"b", TokenShard{}}}, 10), Error);
}

TEST(MatchingText, FirstTokensOfEachCorpus) {
  const TokenShard a = random_shard(20, 4), b = random_shard(20, 5);
  const MatchingText text = build_matching_text({{"a", a}, {"b", b}}, 300);
  const MatchingText shorter = first_tokens(text, 100);
  EXPECT_EQ(shorter.content_hash(), build_matching_text({{"a", a}, {"b", b}}, 100).content_hash());
  EXPECT_EQ(first_tokens(text, 10'000).content_hash(), text.content_hash());
}

class HarvestTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "featflow_harvest";
    fs::remove_all(folder_);
    create_folder(folder_);
    config_ = {kTap, 8, "model", "sae"};
  }
  fs::path folder_;
  HarvestConfig config_;
};

TEST_F(HarvestTest, EachRowIsItsTokenSeenInItsDocumentsBlock) {
  const auto model = small_model();
  const Autoencoder autoencoder = random_autoencoder(12, 40, 6);
  const MatchingText text =
      build_matching_text({{"a", random_shard(30, 7)}, {"b", random_shard(30, 8)}}, 300);
  harvest(*model, autoencoder, text, config_, folder_);
  const FeatureActivations found = load_feature_activations(folder_);
  EXPECT_EQ(found.corpus, text.content_hash());
  EXPECT_THAT(found.corpus_names, testing::ElementsAre("a", "b"));

  // One block of one document at a time, through the model alone.
  int64_t row = 0;
  for (int64_t d = 0; d < text.tokens.document_count(); ++d) {
    const int64_t begin = text.tokens.document_starts[static_cast<size_t>(d)];
    const int64_t end = d + 1 < text.tokens.document_count()
                            ? text.tokens.document_starts[static_cast<size_t>(d + 1)]
                            : text.tokens.size();
    for (int64_t at = begin; at < end; at += 8) {
      const int64_t size = std::min<int64_t>(8, end - at);
      const auto ids =
          std::span(text.tokens.tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(size));
      std::vector<float> x;
      const int64_t count = tap_rows(*model, kTap, ids, 1, size, x);
      const SparseRows expected = encode(autoencoder, x, count);
      int64_t seen = 0;
      for (int64_t i = 0; i < size; ++i) {
        if (ids[static_cast<size_t>(i)] == kBos) continue;
        const auto r = static_cast<size_t>(row);
        ASSERT_EQ(found.token_positions[r], at + i);
        ASSERT_EQ(found.documents[r], d);
        ASSERT_EQ(found.corpora[r], text.document_corpora[static_cast<size_t>(d)]);
        const int64_t from = found.rows.row_offsets[r], to = found.rows.row_offsets[r + 1];
        const int64_t wanted = expected.row_offsets[static_cast<size_t>(seen)];
        ASSERT_EQ(to - from, expected.row_offsets[static_cast<size_t>(seen + 1)] - wanted);
        for (int64_t k = 0; k < to - from; ++k) {
          ASSERT_EQ(found.rows.features[static_cast<size_t>(from + k)],
                    expected.features[static_cast<size_t>(wanted + k)]);
          ASSERT_NEAR(found.rows.values[static_cast<size_t>(from + k)],
                      expected.values[static_cast<size_t>(wanted + k)], 1e-4);
        }
        ++row, ++seen;
      }
    }
  }
  EXPECT_EQ(row, found.rows.rows());
}

TEST_F(HarvestTest, ResumesByShardWithTheSameBytes) {
  const auto model = small_model();
  const Autoencoder autoencoder = random_autoencoder(12, 16, 6);
  // More rows than one shard holds.
  const MatchingText text = build_matching_text({{"a", random_shard(7'000, 9)}}, 10'000'000);
  ASSERT_GT(text.tokens.size(), kShardRows);
  harvest(*model, autoencoder, text, config_, folder_);
  const std::string first = read_file(folder_ / "shard-00000.safetensors");
  const std::string second = read_file(folder_ / "shard-00001.safetensors");
  fs::remove(folder_ / "shard-00001.safetensors");
  harvest(*model, autoencoder, text, config_, folder_);
  EXPECT_EQ(read_file(folder_ / "shard-00000.safetensors"), first);
  EXPECT_EQ(read_file(folder_ / "shard-00001.safetensors"), second);
}

TEST_F(HarvestTest, StreamedRowsAreTheHarvested) {
  const auto model = small_model();
  const Autoencoder autoencoder = random_autoencoder(12, 40, 6);
  const MatchingText text =
      build_matching_text({{"a", random_shard(300, 7)}, {"b", random_shard(300, 8)}}, 4000);
  harvest(*model, autoencoder, text, config_, folder_);
  const FeatureActivations stored = load_feature_activations(folder_);
  FeatureActivations streamed;
  int batches = 0;
  stream_activations(*model, autoencoder, text, config_, [&](FeatureActivations batch) {
    EXPECT_GT(batch.rows.rows(), 0);
    if (batches++ == 0) {
      streamed = std::move(batch);
    } else {
      append_rows(streamed, batch);
    }
  });
  EXPECT_GT(batches, 2);
  EXPECT_EQ(streamed.rows.row_offsets, stored.rows.row_offsets);
  EXPECT_EQ(streamed.rows.features, stored.rows.features);
  EXPECT_EQ(streamed.rows.values, stored.rows.values);
  EXPECT_EQ(streamed.token_positions, stored.token_positions);
  EXPECT_EQ(streamed.documents, stored.documents);
  EXPECT_EQ(streamed.corpora, stored.corpora);
  EXPECT_EQ(streamed.corpus, stored.corpus);
  EXPECT_EQ(streamed.corpus_names, stored.corpus_names);
}

TEST(AutoencoderEvaluation, PutsStatisticsAndExplainedLossTogether) {
  const auto model = small_model();
  const auto shard = std::make_shared<const TokenShard>(random_shard(60, 1));
  ModelActivationSource source(model, kTap,
                               std::make_shared<const BlockMixture>(
                                   std::vector<MixtureComponent>{{"text", shard, 1.0}}, 8, 40, 3),
                               10);
  AutoencoderEvaluationConfig config;
  config.tap = kTap;
  config.block_size = 8;
  config.explained_loss_tokens = 400;
  const AutoencoderEvaluation result =
      evaluate_autoencoder(*model, identity_autoencoder(12), source, {{"text", *shard}}, config);
  EXPECT_NEAR(result.statistics.mean_l0, 12, 1e-9);  // each element is positive or negative
  EXPECT_NEAR(result.statistics.mse, 0, 1e-10);
  EXPECT_NEAR(result.explained_loss_zero(), 1, 1e-3);
  EXPECT_THAT(to_json(result), testing::HasSubstr("\"density_histogram\""));
}

}  // namespace
}  // namespace featflow
