#include "training/training.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "model/evaluation.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;
using Scores = std::map<std::string, ValidationScore>;

ModelConfig tiny_config(int64_t vocab) {
  ModelConfig config;
  config.vocab_size = vocab;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.max_position_embeddings = 64;
  return config;
}

Checkpoint random_start(int64_t vocab, uint64_t seed) {
  Rng rng(seed);
  return Model::random(tiny_config(vocab), rng);
}

BlockMixture mixture(std::vector<int32_t> tokens, int64_t vocab, const TrainingConfig& config) {
  auto shard = std::make_shared<TokenShard>();
  shard->tokens = std::move(tokens);
  shard->document_starts = {0};
  shard->vocab_size = vocab;
  return BlockMixture({{"planted", shard, 1.0}}, config.block_size,
                      training_steps(config) * config.batch_blocks, 5);
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) {
    token = static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab)));
  }
  return tokens;
}

std::vector<nlohmann::json> metrics_of(const std::filesystem::path& folder) {
  std::istringstream text(read_file(folder / "metrics.jsonl"));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Training, MemorisesOneBatch) {
  TrainingConfig config;
  config.block_size = 16;
  config.batch_blocks = 4;
  config.tokens = 200 * 64;
  config.learning_rate = 1e-2;
  config.weight_decay = 0;
  std::vector<int32_t> tokens = random_tokens(64, 40, 1);
  for (int32_t block = 0; block < 4; ++block) tokens[static_cast<size_t>(16 * block)] = block;
  const TemporaryFolder folder;
  const TrainedModel trained = train_model(random_start(40, 2), config, mixture(tokens, 40, config),
                                           {}, folder.path(), "test");
  EXPECT_EQ(trained.steps, 200);
  EXPECT_EQ(trained.tokens, 12800);
  EXPECT_LT(trained.final_loss, 0.01);
}

// A chain in which the next token depends on the current one only: no model can predict better
// than the chain's own probabilities, and one that has learned it comes close on fresh text.
TEST(Training, LearnsAPlantedBigramProcessToItsEntropy) {
  constexpr int64_t kVocab = 12;
  Rng rng(6);
  std::vector<std::vector<double>> next(kVocab, std::vector<double>(kVocab));
  for (auto& row : next) {
    double sum = 0;
    for (double& p : row) sum += p = std::pow(rng.uniform(), 4);
    for (double& p : row) p /= sum;
  }
  const auto draw = [&](int64_t count) {
    std::vector<int32_t> tokens = {0};
    while (std::ssize(tokens) < count) {
      double left = rng.uniform();
      int32_t token = 0;
      for (const double p : next[static_cast<size_t>(tokens.back())]) {
        if ((left -= p) < 0 || token == kVocab - 1) break;
        ++token;
      }
      tokens.push_back(token);
    }
    return tokens;
  };
  TrainingConfig config;
  config.block_size = 32;
  config.batch_blocks = 16;
  config.tokens = 300 * 512;
  config.learning_rate = 5e-3;
  config.warmup_steps = 10;
  const TemporaryFolder folder;
  const TrainedModel trained =
      train_model(random_start(kVocab, 7), config, mixture(draw(config.tokens), kVocab, config), {},
                  folder.path(), "test");

  TokenShard fresh;
  fresh.tokens = draw(32 * 500);
  fresh.document_starts = {0};
  fresh.vocab_size = kVocab;
  double best = 0, uniform = std::log(kVocab);
  int64_t predicted = 0;
  for (size_t i = 1; i < fresh.tokens.size(); ++i) {
    if (i % 32 == 0) continue;  // the first token of a block is not predicted
    best -= std::log(
        next[static_cast<size_t>(fresh.tokens[i - 1])][static_cast<size_t>(fresh.tokens[i])]);
    ++predicted;
  }
  best /= static_cast<double>(predicted);
  const DocumentScores scores = evaluate(Model(trained.checkpoint), fresh, 32);
  ASSERT_EQ(scores.predicted[0], predicted);
  const double loss = scores.loss[0] / static_cast<double>(predicted);
  EXPECT_LT(best, 0.85 * uniform);
  EXPECT_GT(loss, best);
  EXPECT_LT(loss, 1.02 * best);
}

TrainingConfig short_run() {
  TrainingConfig config;
  config.block_size = 24;
  config.batch_blocks = 3;
  config.tokens = 20 * 72 - 50;  // rounded up to 20 steps
  config.learning_rate = 1e-2;
  config.warmup_steps = 3;
  config.evaluate_every = 4;
  return config;
}

struct Killed {};

TEST(Training, KilledAndResumedGivesTheSameBytes) {
  TrainingConfig config = short_run();
  const auto text = mixture(random_tokens(2000, 50, 8), 50, config);
  const Checkpoint start = random_start(50, 9);
  const Validation validate = [](const Model& model, int64_t step) {
    const double logit = model.logits(std::vector<int32_t>{1, 2}, 1, 2)[7];
    return Scores{{"planted", {logit, static_cast<double>(step)}}};
  };
  const TemporaryFolder whole, broken;
  const TrainedModel expected = train_model(start, config, text, validate, whole.path(), "whole");

  config.checkpoint_every = 7;  // killed at 12: steps 8 to 12 are done again
  EXPECT_THROW(train_model(
                   start, config, text,
                   [&](const Model& model, int64_t step) {
                     if (step == 12) throw Killed();
                     return validate(model, step);
                   },
                   broken.path(), "broken"),
               Killed);
  EXPECT_TRUE(std::filesystem::exists(broken / "checkpoint.safetensors"));
  EXPECT_GT(metrics_of(broken.path()).size(), 7u);
  const std::string kept = read_file(broken / "checkpoint.safetensors");
  std::string damaged = kept;
  damaged.replace(damaged.find(R"("step":"7")"), 10, R"("step":"x")");
  write_file_atomic(broken / "checkpoint.safetensors", damaged);
  EXPECT_THAT([&] { train_model(start, config, text, validate, broken.path(), "broken"); },
              testing::ThrowsMessage<Error>(
                  testing::HasSubstr("metadata step is 'x', expected an integer from 0")));
  write_file_atomic(broken / "checkpoint.safetensors", kept);
  const TrainedModel resumed = train_model(start, config, text, validate, broken.path(), "broken");

  ASSERT_EQ(resumed.checkpoint.tensors.size(), expected.checkpoint.tensors.size());
  for (const auto& [name, tensor] : expected.checkpoint.tensors) {
    EXPECT_EQ(resumed.checkpoint.tensors.at(name).data, tensor.data) << name;
    EXPECT_NE(tensor.data, start.tensors.at(name).data) << name;
  }
  EXPECT_EQ(resumed.final_loss, expected.final_loss);
  EXPECT_EQ(read_file(broken / "metrics.jsonl"), read_file(whole / "metrics.jsonl"));
  // The state stays until the caller has stored the result: a second call has nothing to do.
  const TrainedModel again = train_model(
      start, config, text, [](const Model&, int64_t) -> Scores { throw Killed(); }, broken.path(),
      "again");
  EXPECT_EQ(again.checkpoint.tensors.begin()->second.data,
            expected.checkpoint.tensors.begin()->second.data);
  EXPECT_EQ(read_file(broken / "metrics.jsonl"), read_file(whole / "metrics.jsonl"));
}

TEST(Training, InterruptedInAValidationGoesOnWithIt) {
  TrainingConfig config = short_run();
  config.checkpoint_every = 0;
  const auto text = mixture(random_tokens(2000, 50, 8), 50, config);
  const Checkpoint start = random_start(50, 9);
  const TemporaryFolder whole, broken;
  const Validation validate = [](const Model&, int64_t step) {
    return Scores{{"planted", {static_cast<double>(step), 0}}};
  };
  train_model(start, config, text, validate, whole.path(), "whole");
  const int64_t last = training_steps(config);
  for (const int64_t at : {int64_t{8}, last}) {
    EXPECT_THROW(train_model(
                     start, config, text,
                     [&](const Model& model, int64_t step) {
                       if (step == at) throw Interrupted();
                       return validate(model, step);
                     },
                     broken.path(), "broken"),
                 Interrupted);
  }
  std::vector<int64_t> validated;
  train_model(
      start, config, text,
      [&](const Model& model, int64_t step) {
        validated.push_back(step);
        return validate(model, step);
      },
      broken.path(), "broken");
  EXPECT_EQ(validated, std::vector<int64_t>{last}) << "no update is done again";
  EXPECT_EQ(read_file(broken / "metrics.jsonl"), read_file(whole / "metrics.jsonl"));
}

TEST(Training, LogsEveryUpdateAndValidation) {
  TrainingConfig config = short_run();
  config.tokens = 10 * 72;
  const TemporaryFolder folder;
  train_model(
      random_start(50, 9), config, mixture(random_tokens(2000, 50, 8), 50, config),
      [](const Model&, int64_t) {
        return Scores{{"a", {1.5, 0.25}}};
      },
      folder.path(), "test");
  const auto lines = metrics_of(folder.path());
  ASSERT_EQ(lines.size(), 10u + 3u);  // validations after 4, 8 and, as the last, 10
  int64_t step = 0;
  for (const auto& line : lines) {
    if (line.contains("validation")) {
      EXPECT_TRUE(step == 4 || step == 8 || step == 10);
      EXPECT_EQ(line,
                (nlohmann::json{{"step", step},
                                {"validation", {{"a", {{"loss", 1.5}, {"accuracy", 0.25}}}}}}));
      continue;
    }
    ++step;
    EXPECT_EQ(line.at("step"), step);
    EXPECT_EQ(line.at("tokens"), step * 72);
    EXPECT_EQ(line.at("learning_rate"), learning_rate_at(config, step - 1, 10));
    EXPECT_GT(line.at("gradient_norm"), 0);
    EXPECT_EQ(line.size(), 5u);
  }
  EXPECT_NEAR(lines[0].at("loss"), std::log(50), 0.1);
}

TEST(Training, DecaysMatricesButNotNorms) {
  TrainingConfig config = short_run();
  config.tokens = 1;
  config.warmup_steps = 0;
  config.evaluate_every = 0;
  const auto text = mixture(random_tokens(2000, 50, 8), 50, config);
  Checkpoint start = random_start(50, 9);
  const auto run = [&](double weight_decay) {
    config.weight_decay = weight_decay;
    const TemporaryFolder folder;
    return train_model(start, config, text, {}, folder.path(), "test").checkpoint.tensors;
  };
  const TensorMap without = run(0), with = run(0.5);
  for (const auto& [name, tensor] : without) {
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      const double decay = tensor.shape.size() > 1 ? 1e-2 * 0.5 * start.tensors[name].data[i] : 0;
      ASSERT_NEAR(with.at(name).data[i], tensor.data[i] - decay, 1e-8) << name;
    }
  }
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

TEST(Training, ErrorsSayWhatIsWrong) {
  TrainingConfig config = short_run();
  const auto text = mixture(random_tokens(2000, 50, 8), 50, config);
  Checkpoint start = random_start(50, 9);
  const auto run = [&](const TemporaryFolder& folder) {
    return error_of([&] { train_model(start, config, text, {}, folder.path(), "Lua"); });
  };
  {
    const TemporaryFolder folder;
    config.learning_rate = 1e30;
    EXPECT_THAT(run(folder), testing::AllOf(HasSubstr("Lua: "), HasSubstr("at step "),
                                            HasSubstr("learning_rate 1e+30 is probably too high")));
    config = short_run();
  }
  {
    const TemporaryFolder folder;
    start.tensors.begin()->second.data[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(run(folder), HasSubstr("at step 0; the starting model's weights are probably"));
    start = random_start(50, 9);
  }
  {
    const TemporaryFolder folder;
    config.checkpoint_every = 7;
    EXPECT_THROW(train_model(
                     start, config, text,
                     [](const Model&, int64_t step) -> Scores {
                       if (step == 12) throw Killed();
                       return {};
                     },
                     folder.path(), "Lua"),
                 Killed);
    config.learning_rate = 2e-2;
    EXPECT_THAT(run(folder), HasSubstr("belongs to a run with another start, text or"));
  }
  config = short_run();
  config.tokens = 0;
  EXPECT_EQ(error_of([&] { training_steps(config); }), "training.tokens is 0, expected at least 1");
  config = short_run();
  config.beta2 = 1;
  EXPECT_THAT(error_of([&] { training_steps(config); }), HasSubstr("training.beta2 is 1"));
}

TEST(TrainingDeathTest, CtrlCSavesACheckpoint) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const TemporaryFolder folder;
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        const TrainingConfig config = short_run();
        try {
          train_model(
              random_start(50, 9), config, mixture(random_tokens(2000, 50, 8), 50, config),
              [](const Model&, int64_t) -> Scores {
                std::raise(SIGINT);
                return {};
              },
              folder.path(), "test");
        } catch (const Interrupted&) {
          const bool saved = std::filesystem::exists(folder / "checkpoint.safetensors");
          std::exit(saved && metrics_of(folder.path()).size() == 5 ? 0 : 2);
        }
        std::exit(3);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace featflow
