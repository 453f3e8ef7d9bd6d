#include "activations/causal_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "activations/harvest.hpp"
#include "core/error.hpp"
#include "model/reference_transformer.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Row = ReferenceTransformer::Row;
using Rows = ReferenceTransformer::Rows;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int32_t kBos = 1;
constexpr int64_t kBlock = 9, kFeatures = 11, kVocab = 37;

// A model with its autoencoder and its activations on a text.
struct Side {
  Checkpoint checkpoint;
  Model model;
  Autoencoder autoencoder;
  FeatureActivations activations;

  CausalModel borrowed() const { return {&checkpoint, &model, &autoencoder, &activations}; }
};

ModelConfig config_of(int64_t layers, bool tied) {
  ModelConfig config;
  config.vocab_size = kVocab;
  config.hidden_size = 20;
  config.intermediate_size = 13;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 5;
  config.num_key_value_heads = 1;
  config.initializer_range = 0.4;  // far from the usual 0.02, so that a feature has an effect
  config.tie_word_embeddings = tied;
  return config;
}

// Documents of 2 to 31 tokens, and two of a BOS alone.
MatchingText random_text(uint64_t seed) {
  Rng rng(seed);
  TokenShard shard;
  shard.vocab_size = kVocab;
  for (int64_t d = 0; d < 25; ++d) {
    shard.document_starts.push_back(shard.size());
    shard.tokens.push_back(kBos);
    const uint64_t length = d % 12 == 5 ? 0 : 1 + rng.below(30);
    for (uint64_t i = 0; i < length; ++i) {
      shard.tokens.push_back(static_cast<int32_t>(3 + rng.below(kVocab - 3)));
    }
  }
  return build_matching_text({{"text", shard}}, shard.size());
}

Autoencoder random_autoencoder(int64_t n, Rng& rng) {
  Autoencoder a;
  a.input_size = n;
  a.feature_count = kFeatures;
  const auto normals = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(rng.normal());
    return values;
  };
  a.encoder_weight = normals(kFeatures * n);
  a.decoder_weight = normals(kFeatures * n);
  a.encoder_bias = normals(kFeatures);
  a.decoder_bias = normals(n);
  return a;
}

void encode_text(Side& side, const MatchingText& text, const std::string& tap) {
  const fs::path folder = fs::path(testing::TempDir()) / "featflow_causal_check";
  fs::remove_all(folder);
  create_folder(folder);
  harvest(side.model, side.autoencoder, text, {tap, kBlock, "model", "sae"}, folder);
  side.activations = load_feature_activations(folder);
}

Side random_side(const ModelConfig& config, const MatchingText& text, const std::string& tap,
                 uint64_t seed) {
  Rng rng(seed);
  Checkpoint checkpoint = Model::random(config, rng);
  for (float& weight : checkpoint.tensors.at("model.norm.weight").data) {
    weight = static_cast<float>(0.5 + rng.uniform());
  }
  Side side{checkpoint, Model(checkpoint), random_autoencoder(tap_width(config, tap), rng), {}};
  encode_text(side, text, tap);
  return side;
}

// ---- The check in float64, written from the definition, a block and a position at a time.

double reference_loss(const Row& logits, int32_t target) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  return std::log(sum) - logits[static_cast<size_t>(target)];
}

struct Position {
  double f = 0, change = 0;
};

// [blocks][positions with a next token] of all blocks of all documents.
std::vector<std::vector<Position>> reference_changes(const Side& side, const MatchingText& text,
                                                     const std::string& tap, int32_t feature) {
  const auto& starts = text.tokens.document_starts;
  const auto n = static_cast<size_t>(side.autoencoder.input_size);
  const auto j = static_cast<size_t>(feature);
  std::vector<std::vector<Position>> all;
  for (size_t d = 0; d < starts.size(); ++d) {
    const int64_t end = d + 1 < starts.size() ? starts[d + 1] : text.tokens.size();
    for (int64_t at = starts[d]; at < end; at += kBlock) {
      const std::vector<int32_t> ids(text.tokens.tokens.begin() + at,
                                     text.tokens.tokens.begin() + std::min(end, at + kBlock));
      std::vector<double> f(ids.size(), 0.0);
      const ReferenceTransformer reference(side.checkpoint);
      const Rows whole = reference.logits(ids);
      const Rows without = reference.logits(ids, [&](const std::string& name, Rows& x) {
        if (name != tap) return;
        for (size_t t = 0; t < x.size(); ++t) {
          if (ids[t] == kBos) continue;
          double sum = side.autoencoder.encoder_bias[j];
          for (size_t i = 0; i < n; ++i) {
            sum += side.autoencoder.encoder_weight[j * n + i] *
                   (x[t][i] - side.autoencoder.decoder_bias[i]);
          }
          f[t] = std::max(0.0, sum);
          for (size_t i = 0; i < n; ++i) {
            x[t][i] -= f[t] * side.autoencoder.decoder_weight[j * n + i];
          }
        }
      });
      std::vector<Position> block;
      for (size_t t = 0; t + 1 < ids.size(); ++t) {
        block.push_back(
            {f[t], reference_loss(without[t], ids[t + 1]) - reference_loss(whole[t], ids[t + 1])});
      }
      all.push_back(std::move(block));
    }
  }
  return all;
}

double reference_pearson(const Row& x, const Row& y) {
  const auto n = static_cast<double>(x.size());
  const double sx = std::reduce(x.begin(), x.end()), sy = std::reduce(y.begin(), y.end());
  const auto dot = [](const Row& a, const Row& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  return (n * dot(x, y) - sx * sy) /
         std::sqrt((n * dot(x, x) - sx * sx) * (n * dot(y, y) - sy * sy));
}

double reference_cosine(const Row& x, const Row& y) {
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) xx += x[i] * x[i], yy += y[i] * y[i], xy += x[i] * y[i];
  return xy / std::sqrt(xx * yy);
}

Row reference_direction(const Side& side, const std::string& tap, int32_t feature) {
  const int64_t n = side.autoencoder.input_size;
  const auto d = side.autoencoder.decoder_weight.begin() + feature * n;
  if (!tap.ends_with("hook_post")) return {d, d + n};
  const Tensor& down =
      side.checkpoint.tensors.at("model.layers." + tap.substr(7, 1) + ".mlp.down_proj.weight");
  Row v;
  for (int64_t o = 0; o < down.shape[0]; ++o) {
    v.push_back(std::inner_product(d, d + n, down.data.begin() + o * n, 0.0));
  }
  return v;
}

Row reference_logit_weights(const Side& side, const std::string& tap, int32_t feature) {
  const Row v = reference_direction(side, tap, feature);
  const auto& norm = side.checkpoint.tensors.at("model.norm.weight").data;
  const bool tied = side.checkpoint.config.tie_word_embeddings;
  const auto& head =
      side.checkpoint.tensors.at(tied ? "model.embed_tokens.weight" : "lm_head.weight").data;
  Row weights(kVocab, 0.0);
  for (size_t token = 0; token < weights.size(); ++token) {
    for (size_t i = 0; i < v.size(); ++i)
      weights[token] += head[token * v.size() + i] * norm[i] * v[i];
  }
  return weights;
}

struct Case {
  std::string name, tap;
  int64_t layers = 1;
  bool tied = false;
};

class CausalCheckTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    config_.tap = GetParam().tap;
    config_.block_size = kBlock;
    config_.blocks = 1000;  // all
    config_.seed = 3;
    const ModelConfig shape = config_of(GetParam().layers, GetParam().tied);
    parent_ = std::make_unique<Side>(random_side(shape, text_, config_.tap, 11));
    child_ = std::make_unique<Side>(random_side(shape, text_, config_.tap, 12));
  }

  MatchingText text_ = random_text(1);
  CausalConfig config_;
  std::unique_ptr<Side> parent_, child_;
};

INSTANTIATE_TEST_SUITE_P(Shapes, CausalCheckTest,
                         testing::Values(Case{"OneLayer", "blocks.0.mlp.hook_post"},
                                         Case{"TwoLayersFirst", "blocks.0.mlp.hook_post", 2},
                                         Case{"TwoLayersLastTied", "blocks.1.mlp.hook_post", 2,
                                              true},
                                         Case{"LastResidualStream", "blocks.1.hook_resid_post", 2},
                                         Case{"ResidualStream", "blocks.0.hook_resid_post", 2},
                                         Case{"MlpOut", "blocks.0.hook_mlp_out", 1}),
                         [](const auto& param) { return param.param.name; });

// Losses here are of a few nats in float32, effects of a tenth: 1e-5 nats, 1e-4 for correlations.
TEST_P(CausalCheckTest, IsThatOfTheDefinitionInFloat64) {
  const std::vector<CausalPair> pairs = {{0, 3, 0.9}, {7, 7, 0.2}, {10, 0, 0.85}, {4, 5, kUnknown}};
  const auto results = causal_check(parent_->borrowed(), child_->borrowed(), text_, pairs, config_);
  ASSERT_EQ(results.size(), pairs.size());
  int64_t spread = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const CausalResult& result = results[i];
    const auto parent = reference_changes(*parent_, text_, config_.tap, pairs[i].parent);
    const auto child = reference_changes(*child_, text_, config_.tap, pairs[i].child);
    Row x, y;
    int64_t blocks = 0, positions = 0, active_parent = 0, active_child = 0;
    double own_parent = 0, own_child = 0, total_parent = 0, total_child = 0;
    for (size_t b = 0; b < parent.size(); ++b) {
      const auto fires = [](const Position& p) { return p.f > 0; };
      if (std::ranges::none_of(parent[b], fires) && std::ranges::none_of(child[b], fires)) continue;
      ++blocks;
      for (size_t t = 0; t < parent[b].size(); ++t) {
        const Position &p = parent[b][t], &c = child[b][t];
        ++positions;
        total_parent += p.change;
        total_child += c.change;
        if (fires(p)) ++active_parent, own_parent += p.change;
        if (fires(c)) ++active_child, own_child += c.change;
        if (fires(p) || fires(c)) x.push_back(p.change), y.push_back(c.change);
        if (!fires(p) && std::abs(p.change) > 1e-3) ++spread;
      }
    }
    ASSERT_GT(active_parent, 5) << "too few to prove anything";
    ASSERT_GT(active_child, 5);
    EXPECT_EQ(result.blocks, blocks);
    EXPECT_EQ(result.tokens, std::ssize(x));
    EXPECT_EQ(result.parent.positions, positions);
    EXPECT_EQ(result.parent.active_tokens, active_parent);
    EXPECT_EQ(result.child.active_tokens, active_child);
    EXPECT_NEAR(result.parent.mean_change, own_parent / static_cast<double>(active_parent), 1e-5);
    EXPECT_NEAR(result.child.mean_change, own_child / static_cast<double>(active_child), 1e-5);
    EXPECT_NEAR(result.parent.total_change, total_parent, 1e-5 * static_cast<double>(positions));
    EXPECT_NEAR(result.child.total_change, total_child, 1e-5 * static_cast<double>(positions));
    EXPECT_GT(std::abs(own_parent), 0.1);
    EXPECT_NEAR(result.effect_correlation, reference_pearson(x, y), 1e-4);
    EXPECT_NEAR(result.cosine,
                reference_cosine(reference_direction(*parent_, config_.tap, pairs[i].parent),
                                 reference_direction(*child_, config_.tap, pairs[i].child)),
                1e-5);
    EXPECT_NEAR(result.logit_correlation,
                reference_pearson(reference_logit_weights(*parent_, config_.tap, pairs[i].parent),
                                  reference_logit_weights(*child_, config_.tap, pairs[i].child)),
                1e-5);
    EXPECT_EQ(result.matched, pairs[i].correlation >= 0.8);
    EXPECT_EQ(result.flagged, pairs[i].correlation >= 0.8 &&
                                  (result.effect_correlation < 0.5 || result.cosine < 0.5));
  }
  // A removal reaches later positions exactly if a layer with attention follows.
  const bool last = config_.tap.substr(7, 1) == std::to_string(GetParam().layers - 1);
  EXPECT_EQ(spread == 0, last) << spread;
}

TEST_P(CausalCheckTest, LogitWeightsAndTheirTokensAreThoseOfFloat64) {
  std::vector<int32_t> features(70);  // more than are held at a time, some twice
  for (size_t i = 0; i < features.size(); ++i)
    features[i] = static_cast<int32_t>(i * 3 % kFeatures);
  const auto weights =
      logit_weights(parent_->checkpoint, parent_->autoencoder, config_.tap, features);
  const auto tokens =
      top_logit_tokens(parent_->checkpoint, parent_->autoencoder, config_.tap, features, 5);
  const auto all =
      top_logit_tokens(parent_->checkpoint, parent_->autoencoder, config_.tap, features, 1000);
  ASSERT_EQ(std::ssize(weights), std::ssize(features) * kVocab);
  ASSERT_EQ(tokens.size(), features.size());
  for (size_t i = 0; i < features.size(); ++i) {
    const Row expected = reference_logit_weights(*parent_, config_.tap, features[i]);
    for (size_t token = 0; token < expected.size(); ++token) {
      ASSERT_NEAR(weights[i * expected.size() + token], expected[token], 1e-4);
    }
    std::vector<int32_t> order(kVocab);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, std::greater(),
                      [&](int32_t t) { return expected[static_cast<size_t>(t)]; });
    EXPECT_EQ(all[i].promoted, order);
    EXPECT_EQ(tokens[i].promoted, std::vector(order.begin(), order.begin() + 5));
    EXPECT_EQ(tokens[i].suppressed, std::vector(order.rbegin(), order.rbegin() + 5));
    ASSERT_EQ(tokens[i].promoted_weights.size(), 5u);
    ASSERT_EQ(tokens[i].suppressed_weights.size(), 5u);
    for (size_t t = 0; t < 5; ++t) {
      const auto promoted = static_cast<size_t>(tokens[i].promoted[t]);
      const auto suppressed = static_cast<size_t>(tokens[i].suppressed[t]);
      EXPECT_NEAR(tokens[i].promoted_weights[t], expected[promoted], 1e-4);
      EXPECT_NEAR(tokens[i].suppressed_weights[t], expected[suppressed], 1e-4);
    }
  }
}

TEST_P(CausalCheckTest, ASampleIsFixedByTheSeedAndThePair) {
  config_.blocks = 7;
  const std::vector<CausalPair> pairs = {{0, 3, 0.9}, {7, 7, 0.2}};
  const std::vector<CausalPair> other = {{7, 7, 0.2}};
  const auto first = causal_check(parent_->borrowed(), child_->borrowed(), text_, pairs, config_);
  const auto again = causal_check(parent_->borrowed(), child_->borrowed(), text_, other, config_);
  EXPECT_EQ(first[1].blocks, 7);
  EXPECT_EQ(first[1].parent.total_change, again[0].parent.total_change);
  EXPECT_EQ(first[1].effect_correlation, again[0].effect_correlation);
  config_.seed = 4;
  const auto drawn = causal_check(parent_->borrowed(), child_->borrowed(), text_, other, config_);
  EXPECT_EQ(drawn[0].blocks, 7);
  EXPECT_NE(first[1].parent.total_change, drawn[0].parent.total_change);
}

class OneModelTest : public testing::Test {
 protected:
  OneModelTest() {
    config_.tap = "blocks.0.mlp.hook_post";
    config_.block_size = kBlock;
    config_.blocks = 1000;
  }

  // f_j + b_j of every position that counts: how far a bias can go before the feature is silent.
  std::vector<double> activations_of(int32_t feature) const {
    std::vector<double> values;
    for (const auto& block : reference_changes(side_, text_, config_.tap, feature)) {
      for (const Position& p : block) {
        if (p.f > 0) values.push_back(p.f);
      }
    }
    std::ranges::sort(values, std::greater());
    return values;
  }

  MatchingText text_ = random_text(2);
  CausalConfig config_;
  Side side_ = random_side(config_of(1, false), text_, "blocks.0.mlp.hook_post", 21);
};

TEST_F(OneModelTest, AFeatureIsItsOwnMatchInEffectUnlessItsVectorIsTurned) {
  Side turned = random_side(config_of(1, false), text_, config_.tap, 21);
  for (int64_t i = 0; i < 13; ++i)
    turned.autoencoder.decoder_weight[static_cast<size_t>(2 * 13 + i)] *= -1;
  const std::vector<CausalPair> pairs = {{1, 1, 1.0}, {2, 2, 1.0}, {2, 2, 0.79}};
  const auto results = causal_check(side_.borrowed(), turned.borrowed(), text_, pairs, config_);
  EXPECT_NEAR(results[0].effect_correlation, 1, 1e-9);
  EXPECT_NEAR(results[0].cosine, 1, 1e-6);
  EXPECT_NEAR(results[0].logit_correlation, 1, 1e-6);
  EXPECT_FALSE(results[0].flagged);
  EXPECT_EQ(results[0].parent.total_change, results[0].child.total_change);
  EXPECT_NEAR(results[1].cosine, -1, 1e-6);
  EXPECT_NEAR(results[1].logit_correlation, -1, 1e-6);
  EXPECT_TRUE(results[1].flagged);
  EXPECT_FALSE(results[2].flagged) << "no match in activation, nothing to flag";
  EXPECT_EQ(results[1].parent.tokens.promoted, results[1].child.tokens.suppressed);
}

TEST_F(OneModelTest, SilentFeaturesAndSingleTokens) {
  // Feature 3 is left with its strongest token, feature 4 with none, feature 5 with two.
  const auto lower = [&](int32_t feature, int64_t keep) {
    const std::vector<double> values = activations_of(feature);
    ASSERT_GT(std::ssize(values), keep + 1);
    const double cut =
        keep == 0 ? values[0] + 1
                  : (values[static_cast<size_t>(keep - 1)] + values[static_cast<size_t>(keep)]) / 2;
    side_.autoencoder.encoder_bias[static_cast<size_t>(feature)] -= static_cast<float>(cut);
  };
  lower(3, 1);
  lower(4, 0);
  lower(5, 2);
  encode_text(side_, text_, config_.tap);
  const std::vector<CausalPair> pairs = {{3, 3, 1.0}, {4, 4, 0.9}, {4, 6, 0.1}, {5, 5, 1.0}};
  const auto results = causal_check(side_.borrowed(), side_.borrowed(), text_, pairs, config_);

  EXPECT_EQ(results[0].blocks, 1);
  EXPECT_EQ(results[0].tokens, 1);
  EXPECT_EQ(results[0].parent.active_tokens, 1);
  EXPECT_NEAR(results[0].parent.mean_change, results[0].parent.total_change, 1e-9);
  EXPECT_NE(results[0].parent.mean_change, 0);
  EXPECT_TRUE(std::isnan(results[0].effect_correlation)) << "one point has no correlation";
  EXPECT_FALSE(results[0].flagged) << "what is unknown raises no flag";

  EXPECT_EQ(results[1].blocks, 0);
  EXPECT_EQ(results[1].tokens, 0);
  EXPECT_EQ(results[1].parent.active_tokens, 0);
  EXPECT_EQ(results[1].parent.total_change, 0);
  EXPECT_TRUE(std::isnan(results[1].parent.mean_change));
  EXPECT_TRUE(std::isnan(results[1].effect_correlation));
  EXPECT_NEAR(results[1].cosine, 1, 1e-6);

  EXPECT_EQ(results[2].parent.active_tokens, 0);
  EXPECT_EQ(results[2].parent.total_change, 0);
  EXPECT_EQ(results[2].tokens, results[2].child.active_tokens);
  EXPECT_GT(results[2].tokens, 5);
  EXPECT_TRUE(std::isnan(results[2].effect_correlation)) << "no effect, no variance";

  EXPECT_EQ(results[3].tokens, 2);
  EXPECT_TRUE(std::isnan(results[3].effect_correlation)) << "any two points lie on a line";
}

TEST_F(OneModelTest, ATextWithoutASecondTokenHasNoLosses) {
  TokenShard shard;
  shard.vocab_size = kVocab;
  shard.tokens = {5};
  shard.document_starts = {0};
  const MatchingText one = build_matching_text({{"text", shard}}, 1);
  encode_text(side_, one, config_.tap);
  const auto results = causal_check(side_.borrowed(), side_.borrowed(), one,
                                    std::vector<CausalPair>{{0, 0, 1.0}, {1, 1, 1.0}}, config_);
  for (const CausalResult& result : results) {
    EXPECT_EQ(result.blocks, 0);
    EXPECT_EQ(result.parent.positions, 0);
  }
}

TEST_F(OneModelTest, AFineTuneMayHaveAddedTokens) {
  Checkpoint checkpoint = side_.checkpoint;
  checkpoint.config.vocab_size += 3;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    Tensor& tensor = checkpoint.tensors.at(name);
    tensor.shape[0] += 3;
    tensor.data.resize(tensor.data.size() + 3 * 20, 0.5F);
  }
  const Side longer{checkpoint, Model(checkpoint), side_.autoencoder, side_.activations};
  const CausalResult result = causal_check(side_.borrowed(), longer.borrowed(), text_,
                                           std::vector<CausalPair>{{0, 0, 1.0}}, config_)[0];
  EXPECT_NEAR(result.logit_correlation, 1, 1e-6);  // over the tokens that both have
  EXPECT_NEAR(result.cosine, 1, 1e-6);
}

TEST_F(OneModelTest, RefusesWhatDoesNotFit) {
  const std::vector<CausalPair> pairs = {{0, 0, 1.0}};
  const auto check = [&](const Side& child, const MatchingText& text) {
    return causal_check(side_.borrowed(), child.borrowed(), text, pairs, config_);
  };
  EXPECT_THAT([&] { check(side_, random_text(3)); },
              ThrowsMessage<Error>(HasSubstr("of the same matching text")));

  ModelConfig wide = config_of(1, false);
  wide.hidden_size = 40;
  const Side wider = random_side(wide, text_, config_.tap, 22);
  EXPECT_THAT([&] { check(wider, text_); },
              ThrowsMessage<Error>(HasSubstr("hidden_size 20 against 40")));

  Side other = random_side(config_of(1, false), text_, config_.tap, 23);
  other.activations.rows.feature_count = 12;
  EXPECT_THAT([&] { check(other, text_); },
              ThrowsMessage<Error>(HasSubstr("12 features, its autoencoder 11")));

  config_.tap = "blocks.0.hook_mlp_out";
  EXPECT_THAT(
      [&] { check(side_, text_); },
      ThrowsMessage<Error>(HasSubstr("the model's width is 20, the autoencoder's input 13")));
  config_.tap = "blocks.1.mlp.hook_post";
  EXPECT_THAT([&] { check(side_, text_); },
              ThrowsMessage<Error>(HasSubstr("there is no such tap")));
}

}  // namespace
}  // namespace featflow
