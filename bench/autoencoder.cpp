#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "autoencoder/training_step.hpp"
#include "benchmarks.hpp"
#include "core/blas.hpp"
#include "synthetic.hpp"
#include "torch_steps.hpp"

namespace featflow::bench {
namespace {

struct Sizes {
  int64_t n = 1024, m = 16'384, batch = 3072;
  double l0 = 30;

  std::map<std::string, int64_t> map() const {
    return {{"inputs", n}, {"features", m}, {"batch", batch}, {"L0", static_cast<int64_t>(l0)}};
  }
};

// The trainer's own step, on the path that it would choose.
Side featflow_step(const Sizes& sizes) {
  return {"FeatFlow step", [sizes] {
            set_up_side();
            struct Training {
              TrainingState state;
              TrainingStep step;
              std::vector<float> x;
            };
            auto training =
                std::make_shared<Training>(Training{state_with_l0(sizes.n, sizes.m, sizes.l0),
                                                    TrainingStep(steady_training(sizes.n, sizes.m)),
                                                    normal_rows(sizes.batch, sizes.n, 2)});
            return [training, sizes]() -> Facts {
              const bool sparse = choose_path(false, sizes.l0 / static_cast<double>(sizes.m));
              const StepMetrics metrics =
                  training->step.run(training->state, training->x, sizes.batch, sparse);
              return {{"L0", metrics.l0}, {"loss", metrics.loss}, {"sparse", sparse ? 1.0 : 0.0}};
            };
          }};
}

Side torch_step(const Sizes& sizes) {
  return {"LibTorch, dense", [sizes] {
            set_up_side();
            auto training = std::make_shared<TorchAutoencoder>(
                steady_training(sizes.n, sizes.m), state_with_l0(sizes.n, sizes.m, sizes.l0));
            auto x = std::make_shared<std::vector<float>>(normal_rows(sizes.batch, sizes.n, 2));
            return [training, x, sizes]() -> Facts {
              return {{"loss", training->step(*x, sizes.batch)}};
            };
          }};
}

// What no exact step can do without: input W_eᵀ, as one product of whole matrices.
Side encoder_product(const Sizes& sizes) {
  return {"encoder's product alone (sgemm)", [sizes] {
            set_up_side();
            auto x = std::make_shared<std::vector<float>>(normal_rows(sizes.batch, sizes.n, 2));
            auto weight = std::make_shared<std::vector<float>>(normal_rows(sizes.m, sizes.n, 1));
            auto out =
                std::make_shared<std::vector<float>>(static_cast<size_t>(sizes.batch * sizes.m));
            return [=]() -> Facts {
              sgemm(Transpose::kNo, Transpose::kYes, sizes.batch, sizes.m, sizes.n, 1, x->data(),
                    sizes.n, weight->data(), sizes.n, 0, out->data(), sizes.m);
              return {{"gflop", 2e-9 * static_cast<double>(sizes.batch * sizes.m * sizes.n)}};
            };
          }};
}

}  // namespace

void autoencoder_step(Record& record) {
  Sizes sizes;
  if (record.quick()) sizes = {.n = 128, .m = 1024, .batch = 256, .l0 = 10};
  record.measure({.name = fmt::format("mean L0 {:.0f}", sizes.l0),
                  .sizes = sizes.map(),
                  .sides = {featflow_step(sizes), torch_step(sizes), encoder_product(sizes)},
                  .comparisons = {{.what = "times faster than LibTorch",
                                   .numerator = 1,
                                   .denominator = 0,
                                   .at_least = 4.5},
                                  {.what = "of the encoder's own product",
                                   .numerator = 0,
                                   .denominator = 2,
                                   .at_most = 1.15}}});
  sizes.l0 = static_cast<double>(sizes.m) / 2;
  record.measure(
      {.name = "mean L0 m/2, as training starts",
       .sizes = sizes.map(),
       .sides = {featflow_step(sizes), torch_step(sizes)},
       .comparisons =
           {{.what = "of LibTorch's time", .numerator = 0, .denominator = 1, .at_most = 1.1}},
       .rounds = 5});
}

void autoencoder_growth(Record& record) {
  const Sizes base = record.quick() ? Sizes{.n = 64, .m = 512, .batch = 128, .l0 = 10} : Sizes{};
  const auto measure = [&](const std::string& name, const Sizes& sizes) {
    record.measure({.name = name,
                    .sizes = sizes.map(),
                    .sides = {featflow_step(sizes), encoder_product(sizes)},
                    .comparisons = {{.what = "of the encoder's own product",
                                     .numerator = 0,
                                     .denominator = 1}},
                    .rounds = 3});
  };
  for (const double share : {0.0006, 0.0018, 0.006, 0.018, 0.06, 0.12, 0.5}) {
    Sizes sizes = base;
    sizes.l0 = std::max(1.0, std::round(share * static_cast<double>(base.m)));
    measure(fmt::format("L0 {:.0f}", sizes.l0), sizes);
  }
  for (const int64_t factor : {1, 2, 4, 8, 16}) {
    Sizes sizes = base;
    sizes.m = base.m / 4 * factor;
    measure(fmt::format("{} features", sizes.m), sizes);
  }
  for (const int64_t factor : {1, 2, 4, 8, 16}) {
    Sizes sizes = base;
    sizes.batch = base.batch / 4 * factor;
    measure(fmt::format("batch {}", sizes.batch), sizes);
  }
}

}  // namespace featflow::bench
