#include "model/model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "model/evaluation.hpp"
#include "model/reference_transformer.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Row = ReferenceTransformer::Row;
using Rows = ReferenceTransformer::Rows;
using Edit = ReferenceTransformer::Edit;

ModelConfig tiny_config() {
  ModelConfig config;
  config.vocab_size = 37;
  config.hidden_size = 24;
  config.intermediate_size = 31;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.max_position_embeddings = 256;
  // Far from the usual 0.02: logits of order one, attention far from uniform.
  config.initializer_range = 0.3;
  return config;
}

// Norm weights are random too: at 1 a forgotten weight would not show.
Checkpoint random_checkpoint(const ModelConfig& config, uint64_t seed) {
  Rng rng(seed);
  Checkpoint checkpoint = Model::random(config, rng);
  for (auto& [name, tensor] : checkpoint.tensors) {
    if (tensor.shape.size() > 1) continue;
    for (float& value : tensor.data) value = static_cast<float>(0.5 + rng.uniform());
  }
  return checkpoint;
}

std::vector<int32_t> random_ids(int64_t count, int64_t vocab, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab)));
  return ids;
}

// Reference logits of every sequence, flattened [batch, time, vocab].
std::vector<double> reference_logits(
    const Checkpoint& checkpoint, const std::vector<int32_t>& ids, int64_t batch, int64_t time,
    const Edit& edit = [](auto&, auto&) {}) {
  std::vector<double> flat;
  for (int64_t b = 0; b < batch; ++b) {
    const std::vector<int32_t> sequence(ids.begin() + b * time, ids.begin() + (b + 1) * time);
    for (const Row& row : ReferenceTransformer(checkpoint).logits(sequence, edit)) {
      flat.insert(flat.end(), row.begin(), row.end());
    }
  }
  return flat;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  double worst = 0, largest = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    worst = std::max(worst, std::abs(actual[i] - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  EXPECT_LT(worst, tolerance);
  EXPECT_GT(largest, 0.1) << "logits this small would prove little";
}

struct Shape {
  std::string name;
  std::function<void(ModelConfig&)> change;
  int64_t time = 17;
};

class ModelLogits : public testing::TestWithParam<Shape> {};

TEST_P(ModelLogits, AgreeWithTheFloat64Reference) {
  ModelConfig config = tiny_config();
  GetParam().change(config);
  const int64_t batch = 3, time = GetParam().time;
  const Checkpoint checkpoint = random_checkpoint(config, 7);
  const auto ids = random_ids(batch * time, config.vocab_size, 8);
  expect_near(Model(checkpoint).logits(ids, batch, time),
              reference_logits(checkpoint, ids, batch, time), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ModelLogits,
    testing::Values(Shape{"GroupedHeads", [](ModelConfig&) {}},
                    Shape{"OneLayerLlama",
                          [](ModelConfig& c) {
                            c.num_hidden_layers = 1;
                            c.model_type = "llama";
                            c.rms_norm_eps = 1e-2;
                            c.rope_theta = 100;
                          }},
                    Shape{"ThreeLayersTied",
                          [](ModelConfig& c) {
                            c.num_hidden_layers = 3;
                            c.tie_word_embeddings = true;
                          }},
                    Shape{"ExplicitHeadDim",
                          [](ModelConfig& c) {
                            c.head_dim = 10;
                            c.hidden_size = 21;
                          }},
                    Shape{"OneKeyValueHead", [](ModelConfig& c) { c.num_key_value_heads = 1; }},
                    Shape{"SlidingWindow", [](ModelConfig& c) { c.sliding_window = 5; }},
                    Shape{"WindowOfOne", [](ModelConfig& c) { c.sliding_window = 1; }},
                    Shape{"SeveralTiles", [](ModelConfig&) {}, 150},
                    Shape{"SeveralTilesWithWindow", [](ModelConfig& c) { c.sliding_window = 70; },
                          150},
                    Shape{"OneToken", [](ModelConfig&) {}, 1}),
    [](const auto& param) { return param.param.name; });

TEST(Model, ScoresAreThoseOfTheReferenceAcrossHeadChunks) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 1);
  const int64_t batch = 9, time = 70, vocab = checkpoint.config.vocab_size;  // 630 rows: two chunks
  const auto ids = random_ids(batch * time, vocab, 2);
  const auto logits = reference_logits(checkpoint, ids, batch, time);
  const PositionScores scores = Model(checkpoint).score(ids, batch, time);
  ASSERT_EQ(std::ssize(scores.loss), batch * (time - 1));
  ASSERT_EQ(std::ssize(scores.correct), batch * (time - 1));
  int64_t right = 0;
  for (int64_t b = 0, i = 0; b < batch; ++b) {
    for (int64_t t = 0; t + 1 < time; ++t, ++i) {
      const auto row = std::span(logits).subspan(static_cast<size_t>((b * time + t) * vocab),
                                                 static_cast<size_t>(vocab));
      const auto target = static_cast<size_t>(ids[static_cast<size_t>(b * time + t + 1)]);
      double sum = 0;
      for (const double value : row) sum += std::exp(value);
      EXPECT_NEAR(scores.loss[static_cast<size_t>(i)], std::log(sum) - row[target], 1e-4);
      const bool correct =
          std::ranges::max_element(row) - row.begin() == static_cast<int64_t>(target);
      EXPECT_EQ(scores.correct[static_cast<size_t>(i)], correct);
      right += correct;
    }
  }
  EXPECT_GT(right, 0);
}

TEST(Model, LossAtChosenPositionsIsTheirScore) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 1);
  const int64_t batch = 9, time = 70;
  const auto ids = random_ids(batch * time, checkpoint.config.vocab_size, 2);
  const Model model(checkpoint);
  const PositionScores scores = model.score(ids, batch, time);
  std::vector<uint8_t> wanted(ids.size());
  // Chosen by a visitor, while the pass is under way.
  const Tap choose{"blocks.1.mlp.hook_post", [&](TapValues values) {
                     for (int64_t r = 0; r < values.rows; ++r) {
                       wanted[static_cast<size_t>(r)] = values.row(r)[0] > 0;
                     }
                   }};
  const std::vector<float> loss = model.loss_at(ids, batch, time, wanted, {&choose, 1});
  ASSERT_EQ(loss.size(), ids.size());
  int64_t seen = 0;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < time; ++t) {
      const auto i = static_cast<size_t>(b * time + t);
      if (t == time - 1 || wanted[i] == 0) {
        EXPECT_EQ(loss[i], 0);
      } else {
        EXPECT_NEAR(loss[i], scores.loss[static_cast<size_t>(b * (time - 1) + t)], 1e-5);
        ++seen;
      }
    }
  }
  EXPECT_GT(seen, 100);
  std::ranges::fill(wanted, 0);
  for (const float value : model.loss_at(ids, batch, time, wanted)) EXPECT_EQ(value, 0);
}

TEST(Model, TapsSeeWhatTheReferenceComputes) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 3);
  const Model model(checkpoint);
  const int64_t batch = 2, time = 12;
  const auto ids = random_ids(batch * time, checkpoint.config.vocab_size, 4);
  for (const std::string name :
       {"blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post", "blocks.0.hook_mlp_out",
        "blocks.1.hook_mlp_out", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}) {
    std::vector<double> expected;
    reference_logits(checkpoint, ids, batch, time, [&](const std::string& tap, Rows& values) {
      if (tap != name) return;
      for (const Row& row : values) expected.insert(expected.end(), row.begin(), row.end());
    });
    std::vector<float> seen;
    const Tap tap{name, [&](TapValues values) {
                    EXPECT_EQ(values.rows, batch * time);
                    EXPECT_EQ(values.width, tap_width(model.config(), name));
                    seen.assign(values.data, values.data + values.rows * values.width);
                  }};
    model.run_to_taps(ids, batch, time, {&tap, 1});
    SCOPED_TRACE(name);
    expect_near(seen, expected, 1e-4);
  }
}

TEST(Model, TheNetworkGoesOnWithWhatATapChanged) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 5);
  const Model model(checkpoint);
  const int64_t batch = 2, time = 11;
  const auto ids = random_ids(batch * time, checkpoint.config.vocab_size, 6);
  const auto untouched = model.logits(ids, batch, time);
  for (const std::string name :
       {"blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post", "blocks.0.hook_mlp_out",
        "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}) {
    for (const bool zero : {true, false}) {
      SCOPED_TRACE(name + (zero ? " zeroed" : " halved and shifted"));
      const auto expected =
          reference_logits(checkpoint, ids, batch, time, [&](const std::string& tap, Rows& values) {
            if (tap != name) return;
            for (Row& row : values) {
              for (double& value : row) value = zero ? 0 : value / 2 + 0.25;
            }
          });
      const Tap tap{name, [&](TapValues values) {
                      for (int64_t r = 0; r < values.rows; ++r) {
                        for (float& value : values.row(r)) value = zero ? 0 : value / 2 + 0.25f;
                      }
                    }};
      const auto changed = model.logits(ids, batch, time, {&tap, 1});
      if (zero && name.ends_with("resid_post")) {  // nothing is left but zeros
        EXPECT_EQ(std::ranges::count(changed, 0.0f), std::ssize(changed));
      } else {
        expect_near(changed, expected, 1e-4);
      }
      EXPECT_NE(changed, untouched);
    }
  }
}

TEST(Model, RunToTapsVisitsEachTapOnceAndNothingLater) {
  ModelConfig config = tiny_config();
  Checkpoint checkpoint = random_checkpoint(config, 9);
  const Model model(checkpoint);
  const auto ids = random_ids(6, config.vocab_size, 10);
  std::vector<std::string> visited;
  std::vector<Tap> taps;
  for (const std::string name : {"blocks.1.mlp.hook_post", "blocks.0.hook_resid_post"}) {
    taps.push_back({name, [&visited, name](TapValues) { visited.push_back(name); }});
  }
  model.run_to_taps(ids, 1, 6, taps);
  EXPECT_THAT(visited, ElementsAre("blocks.0.hook_resid_post", "blocks.1.mlp.hook_post"));
}

TEST(Model, ALaterTokenDoesNotChangeAnEarlierOne) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 11);
  const Model model(checkpoint);
  const int64_t time = 100, vocab = checkpoint.config.vocab_size;
  auto ids = random_ids(time, vocab, 12);
  const auto before = model.logits(ids, 1, time);
  ids.back() = (ids.back() + 1) % static_cast<int32_t>(vocab);
  const auto after = model.logits(ids, 1, time);
  EXPECT_TRUE(std::equal(before.begin(), before.end() - vocab, after.begin()));
  EXPECT_FALSE(std::equal(before.end() - vocab, before.end(), after.end() - vocab));
}

TEST(Model, RandomWeightsHaveTheStatedSpread) {
  ModelConfig config = tiny_config();
  config.initializer_range = 0.02;
  config.vocab_size = 1000;
  Rng rng(13);
  const Checkpoint checkpoint = Model::random(config, rng);
  for (const auto& [name, shape] : expected_tensors(config)) {
    const Tensor& tensor = checkpoint.tensors.at(name);
    EXPECT_EQ(tensor.shape, shape);
    const bool norm = shape.size() == 1;
    EXPECT_EQ(std::ranges::count(tensor.data, 1.0f) == std::ssize(tensor.data), norm) << name;
  }
  const auto& values = checkpoint.tensors.at("model.embed_tokens.weight").data;
  double sum = 0, square = 0;
  for (const float value : values) {
    sum += value;
    square += static_cast<double>(value) * value;
  }
  const auto count = static_cast<double>(values.size());  // 24,000
  EXPECT_NEAR(sum / count, 0, 5 * 0.02 / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(square / count), 0.02, 0.02 * 0.03);
}

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Model, ErrorsSayWhatIsWrong) {
  Checkpoint checkpoint = random_checkpoint(tiny_config(), 14);
  const Model model(checkpoint);
  const std::vector<int32_t> outside = {1, 37, 2};
  EXPECT_THAT(error_of([&] { model.logits(outside, 1, 3); }),
              HasSubstr("token id 37 is outside its vocabulary of 37"));
  const std::vector<int32_t> many(300, 1);
  EXPECT_THAT(error_of([&] { model.score(many, 1, 300); }),
              HasSubstr("a block of 300 tokens is longer than the model's "
                        "max_position_embeddings of 256"));
  const Tap tap{"blocks.2.mlp.hook_post", [](TapValues) {}};
  EXPECT_THAT(error_of([&] {
                model.run_to_taps(std::vector<int32_t>{1, 2}, 1, 2, {&tap, 1});
              }),
              HasSubstr("with L from 0 to 1"));
  checkpoint.tensors.at("model.norm.weight").shape = {3};
  EXPECT_THAT(error_of([&] { Model broken(checkpoint); }), HasSubstr("model.norm.weight"));
  checkpoint.tensors.erase("model.norm.weight");
  EXPECT_THAT(error_of([&] { Model broken(checkpoint); }),
              HasSubstr("model.norm.weight is missing"));
}

TEST(Generate, GreedyFollowsTheReference) {
  Checkpoint checkpoint = random_checkpoint(tiny_config(), 15);
  checkpoint.config.max_position_embeddings = 8;  // the window slides before the end
  checkpoint.config.bos_token_id = -1;
  checkpoint.config.eos_token_id = -1;
  std::vector<int32_t> ids = random_ids(5, checkpoint.config.vocab_size, 16);
  const std::vector<int32_t> prompt = ids;
  for (int step = 0; step < 10; ++step) {
    const std::vector<int32_t> window(ids.end() - std::min<int64_t>(8, std::ssize(ids)), ids.end());
    const Rows logits = ReferenceTransformer(checkpoint).logits(window);
    ids.push_back(
        static_cast<int32_t>(std::ranges::max_element(logits.back()) - logits.back().begin()));
  }
  Rng rng(1);
  const auto generated = generate(Model(checkpoint), prompt, {10, 0}, rng);
  EXPECT_EQ(generated, std::vector<int32_t>(ids.begin() + 5, ids.end()));
}

TEST(Generate, SamplesInProportionAndStopsAtEos) {
  Checkpoint checkpoint = random_checkpoint(tiny_config(), 17);
  checkpoint.config.bos_token_id = -1;
  checkpoint.config.eos_token_id = -1;
  const std::vector<int32_t> prompt = {3, 1, 4};
  const double temperature = 1.7;
  const Row logits = ReferenceTransformer(checkpoint).logits(prompt).back();
  Row expected;
  for (const double logit : logits) expected.push_back(std::exp(logit / temperature));
  const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
  const Model model(checkpoint);
  Rng rng(18);
  constexpr int kDraws = 2000;
  Row drawn(logits.size(), 0.0);
  for (int i = 0; i < kDraws; ++i) {
    drawn[static_cast<size_t>(generate(model, prompt, {1, temperature}, rng).at(0))] += 1;
  }
  for (size_t i = 0; i < drawn.size(); ++i) {
    const double p = expected[i] / sum;
    EXPECT_NEAR(drawn[i] / kDraws, p, 5 * std::sqrt(p / kDraws) + 1e-3);
  }

  checkpoint.config.eos_token_id =
      static_cast<int64_t>(std::ranges::max_element(logits) - logits.begin());
  EXPECT_TRUE(generate(Model(checkpoint), prompt, {10, 0}, rng).empty());
}

TEST(Evaluate, CountsEachPositionForTheDocumentOfItsTarget) {
  const Checkpoint checkpoint = random_checkpoint(tiny_config(), 19);
  const Model model(checkpoint);
  TokenShard shard;
  shard.tokens = random_ids(53, checkpoint.config.vocab_size, 20);
  shard.document_starts = {0, 9, 10, 31};
  shard.vocab_size = checkpoint.config.vocab_size;

  // Six whole blocks of 8 and a remainder; of 25 tokens three blocks, of 5 one that is shorter.
  struct Case {
    int64_t limit, block;
    std::vector<int64_t> starts;
  };
  const std::vector<Case> cases = {{0, 8, {0, 8, 16, 24, 32, 40, 48}},
                                   {53, 8, {0, 8, 16, 24, 32, 40, 48}},
                                   {52, 8, {0, 8, 16, 24, 32, 40}},
                                   {25, 8, {0, 16, 32}},
                                   {5, 5, {0}},
                                   {1, 8, {}}};
  for (const auto& [limit, block, starts] : cases) {
    std::vector<int64_t> predicted(4, 0), correct(4, 0);
    std::vector<double> loss(4, 0.0);
    for (const int64_t begin : starts) {
      const int64_t end = std::min(begin + block, shard.size());
      const Rows logits = ReferenceTransformer(checkpoint)
                              .logits({shard.tokens.begin() + begin, shard.tokens.begin() + end});
      for (int64_t position = begin + 1; position < end; ++position) {
        const Row& row = logits[static_cast<size_t>(position - 1 - begin)];
        const auto target = static_cast<size_t>(shard.tokens[static_cast<size_t>(position)]);
        const size_t document = position < 9 ? 0 : position < 10 ? 1 : position < 31 ? 2 : 3;
        double sum = 0;
        for (const double value : row) sum += std::exp(value);
        predicted[document] += 1;
        loss[document] += std::log(sum) - row[target];
        correct[document] +=
            std::ranges::max_element(row) - row.begin() == static_cast<int64_t>(target);
      }
    }
    const DocumentScores scores = evaluate(model, shard, 8, limit);
    EXPECT_EQ(scores.predicted, predicted);
    EXPECT_EQ(scores.correct, correct);
    for (size_t d = 0; d < 4; ++d) EXPECT_NEAR(scores.loss[d], loss[d], 1e-3) << d;
  }
  EXPECT_THAT(error_of([&] { evaluate(model, shard, 1); }), HasSubstr("block_size is 1"));
}

}  // namespace
}  // namespace featflow
