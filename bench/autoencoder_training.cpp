#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "activations/model_source.hpp"
#include "autoencoder/training_step.hpp"
#include "benchmarks.hpp"
#include "synthetic.hpp"

namespace featflow::bench {
namespace {

struct Sizes {
  int64_t vocab = 32'000, features = 16'384, block = 24, blocks = 128;
  double l0 = 30;
};

std::shared_ptr<ModelActivationSource> activation_source(const Sizes& sizes) {
  auto shard = std::make_shared<TokenShard>();
  shard->vocab_size = sizes.vocab;
  shard->tokens = random_ids(64 * sizes.block * sizes.blocks, sizes.vocab, 3);
  shard->document_starts = {0};
  auto mixture = std::make_shared<BlockMixture>(
      std::vector<MixtureComponent>{{.corpus = "random", .shard = shard}}, sizes.block,
      int64_t{1'000'000}, 4);
  auto model = std::make_shared<Model>(paper_model(sizes.vocab));
  return std::make_shared<ModelActivationSource>(model, "blocks.0.mlp.hook_post", mixture,
                                                 sizes.blocks);
}

// Batch after batch from the model, as train_autoencoder draws them; each trains if `train`.
Side stage(const Sizes& sizes, bool train) {
  return {train ? "model and autoencoder" : "model's activations alone", [sizes, train] {
            set_up_side();
            auto source = activation_source(sizes);
            const int64_t n = source->width();
            auto state =
                std::make_shared<TrainingState>(state_with_l0(n, sizes.features, sizes.l0));
            auto step = std::make_shared<TrainingStep>(steady_training(n, sizes.features));
            // Scaled so that encoder rows of unit norm see what state_with_l0 assumes.
            std::vector<float> sample;
            const int64_t rows = source->batch(0, sample);
            double square = 0;
            for (const float value : sample) square += double{value} * double{value};
            state->scale = std::sqrt(static_cast<double>(rows * n) / square);
            auto number = std::make_shared<int64_t>(0);
            auto x = std::make_shared<std::vector<float>>();
            return [=]() -> Facts {
              const int64_t count = source->batch((*number)++, *x);
              if (!train) return {{"tokens", static_cast<double>(count)}};
              const StepMetrics metrics = step->run(*state, *x, count, /*sparse=*/true);
              return {{"tokens", static_cast<double>(count)}, {"L0", metrics.l0}};
            };
          }};
}

}  // namespace

void autoencoder_training(Record& record) {
  Sizes sizes;
  if (record.quick()) sizes = {.vocab = 1000, .features = 2048, .block = 12, .blocks = 8, .l0 = 10};
  record.measure(
      {.name = "one batch",
       .sizes = {{"vocabulary", sizes.vocab},
                 {"features", sizes.features},
                 {"batch", sizes.block * sizes.blocks}},
       .sides = {stage(sizes, true), stage(sizes, false)},
       .comparisons = {
           {.what = "share of the model's activations", .numerator = 1, .denominator = 0}}});
}

}  // namespace featflow::bench
