#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "benchmarks.hpp"
#include "core/blas.hpp"
#include "synthetic.hpp"
#include "torch_steps.hpp"
#include "training/backpropagation.hpp"
#include "training/optimizer.hpp"

namespace featflow::bench {
namespace {

constexpr double kLearningRate = 1e-5;

struct Sizes {
  int64_t vocab = 32'000, batch = 16, time = 256;
  int64_t tokens() const { return batch * time; }
  std::map<std::string, int64_t> map() const {
    return {{"vocabulary", vocab}, {"hidden", 512}, {"intermediate", 1024}, {"tokens", tokens()}};
  }
};

// Forward and twice as much backward of every product with weights; attention, 1% of it, left out.
double step_gflop(const Sizes& sizes) {
  const ModelConfig config = paper_shape(sizes.vocab);
  const int64_t weights = config.parameter_count() - config.vocab_size * config.hidden_size;
  return 6e-9 * static_cast<double>(weights * sizes.tokens());
}

// The trainer's own step: training.cpp's loop without its log and checkpoints.
Side featflow_step(const Sizes& sizes) {
  return {"FeatFlow step", [sizes] {
            set_up_side();
            struct Training {
              Model model;
              Backpropagation network;
              std::vector<float> m, v;
              AdamWUpdate adamw;
              explicit Training(const Checkpoint& start)
                  : model(start),
                    network(model),
                    m(network.weights().size()),
                    v(network.weights().size()) {}
            };
            auto training = std::make_shared<Training>(paper_model(sizes.vocab));
            const std::vector<int32_t> ids = random_ids(sizes.tokens(), sizes.vocab, 2);
            return [training, ids, sizes]() -> Facts {
              Training& t = *training;
              const double loss = t.network.run(ids, sizes.batch, sizes.time, 512);
              t.adamw.learning_rate = kLearningRate;
              t.adamw.gradient_scale =
                  std::min(1.0, 1.0 / (global_norm(t.network.gradients()) + 1e-6));
              for (const ParameterSlot& slot : t.network.layout().slots()) {
                const auto at = static_cast<size_t>(slot.offset);
                const auto count = static_cast<size_t>(slot.count);
                t.adamw.weight_decay = slot.shape.size() > 1 ? 0.1 : 0;
                t.adamw.apply(t.network.weights().subspan(at, count),
                              t.network.gradients().subspan(at, count),
                              std::span(t.m).subspan(at, count), std::span(t.v).subspan(at, count));
              }
              ++t.adamw.step;
              return {{"loss", loss}, {"gflop", step_gflop(sizes)}};
            };
          }};
}

Side torch_step(const Sizes& sizes) {
  return {"LibTorch, eager", [sizes] {
            set_up_side();
            auto training = std::make_shared<TorchLanguageModel>(paper_model(sizes.vocab));
            const std::vector<int32_t> ids = random_ids(sizes.tokens(), sizes.vocab, 2);
            return [training, ids, sizes]() -> Facts {
              return {{"loss", training->step(ids, sizes.batch, sizes.time, kLearningRate)}};
            };
          }};
}

// The machine's rate on the largest product of the step, all logits at once, for as many operations
// as the step has.
Side matrix_products(const Sizes& sizes) {
  constexpr int64_t kHidden = 512;
  const double gflop = 2e-9 * static_cast<double>(sizes.tokens() * sizes.vocab * kHidden);
  return {
      "as many operations by sgemm",
      [sizes, gflop] {
        set_up_side();
        auto hidden = std::make_shared<std::vector<float>>(normal_rows(sizes.tokens(), kHidden, 1));
        auto head = std::make_shared<std::vector<float>>(normal_rows(sizes.vocab, kHidden, 2));
        auto logits =
            std::make_shared<std::vector<float>>(static_cast<size_t>(sizes.tokens() * sizes.vocab));
        return [=]() -> Facts {
          sgemm(Transpose::kNo, Transpose::kYes, sizes.tokens(), sizes.vocab, kHidden, 1,
                hidden->data(), kHidden, head->data(), kHidden, 0, logits->data(), sizes.vocab);
          return {{"gflop", step_gflop(sizes)}};
        };
      },
      step_gflop(sizes) / gflop};
}

}  // namespace

void language_model_step(Record& record) {
  Sizes sizes;
  if (record.quick()) sizes = {.vocab = 1000, .batch = 2, .time = 32};
  record.measure({.name = fmt::format("vocabulary {}", sizes.vocab),
                  .sizes = sizes.map(),
                  .sides = {featflow_step(sizes), torch_step(sizes), matrix_products(sizes)},
                  .comparisons = {{.what = "times faster than LibTorch",
                                   .numerator = 1,
                                   .denominator = 0,
                                   .at_least = 1.25},
                                  {.what = "of the machine's sgemm rate",
                                   .numerator = 2,
                                   .denominator = 0,
                                   .at_least = 0.8}},
                  .memory = {{.side = 0, .at_most_share = 0.5, .of = 1}}});
}

void language_model_growth(Record& record) {
  for (const int64_t vocab : {2000, 8000, 32'000, 64'000, 128'000}) {
    Sizes sizes{.vocab = vocab};
    if (record.quick()) sizes = {.vocab = vocab / 10, .batch = 2, .time = 16};
    record.measure(
        {.name = fmt::format("vocabulary {}", sizes.vocab),
         .sizes = sizes.map(),
         .sides = {featflow_step(sizes), matrix_products(sizes)},
         .comparisons = {{.what = "of the machine's sgemm rate", .numerator = 1, .denominator = 0}},
         .rounds = 3});
  }
}

}  // namespace featflow::bench
