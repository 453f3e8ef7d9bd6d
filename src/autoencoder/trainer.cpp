#include "autoencoder/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autoencoder/resampling.hpp"
#include "autoencoder/training_path.hpp"
#include "autoencoder/training_state.hpp"
#include "autoencoder/training_step.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/progress.hpp"
#include "storage/artifact.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

void require(bool condition, const char* key, const std::string& given, const char* expected) {
  if (!condition) {
    throw Error(fmt::format("autoencoder.{}: given {}, expected {}", key, given, expected));
  }
}

}  // namespace

void check_autoencoder_training(const AutoencoderTraining& c) {
  const auto share = [](double value) { return value >= 0 && value <= 1; };
  const auto number = [](double value) { return fmt::format("{}", value); };
  require(c.expansion >= 1, "expansion", fmt::format("{}", c.expansion), "at least 1");
  require(c.l1_coefficient >= 0 && std::isfinite(c.l1_coefficient), "l1_coefficient",
          number(c.l1_coefficient), "a number of at least 0");
  require(c.learning_rate > 0 && std::isfinite(c.learning_rate), "learning_rate",
          number(c.learning_rate), "a positive number");
  require(c.beta1 >= 0 && c.beta1 < 1, "beta1", number(c.beta1), "a number in [0, 1)");
  require(c.beta2 >= 0 && c.beta2 < 1, "beta2", number(c.beta2), "a number in [0, 1)");
  require(c.epsilon > 0 && std::isfinite(c.epsilon), "epsilon", number(c.epsilon),
          "a positive number");
  require(c.warmup_steps >= 0, "warmup_steps", fmt::format("{}", c.warmup_steps), "at least 0");
  require(share(c.decay_share), "decay_share", number(c.decay_share), "a share in [0, 1]");
  require(share(c.l1_warmup_share), "l1_warmup_share", number(c.l1_warmup_share),
          "a share in [0, 1]");
  require(c.checkpoint_every >= 1, "checkpoint_every", fmt::format("{}", c.checkpoint_every),
          "at least 1");
}

namespace {

void check_source(const AutoencoderTraining& c, const ActivationSource& source) {
  require(c.steps >= 1 && c.steps <= source.batch_count(), "steps", fmt::format("{}", c.steps),
          fmt::format("1 to the {} batches of the source", source.batch_count()).c_str());
  FEATFLOW_CHECK(source.width() >= 1, "activations need a width");
}

void check_finite(const StepMetrics& metrics, const TrainingState& state,
                  const std::vector<float>& batch, const std::string& label) {
  const auto finite = [](const std::vector<float>& values) {
    return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
  };
  if (std::isfinite(metrics.loss) && finite(state.weights.decoder_bias)) return;
  const char* cause = finite(batch) ? "the learning rate is too high (autoencoder.learning_rate)"
                                    : "the model's activations contain infinities or NaN";
  throw Error(fmt::format("{}, step {}: loss is {}, expected a finite number: probably {}", label,
                          metrics.step, metrics.loss, cause));
}

std::string metrics_line(const StepMetrics& metrics, const StepRates& rates) {
  return fmt::format(R"({{"step":{},"loss":{},"mse":{},"l1":{},"l0":{},"dead":{},"sparse_path":{},)"
                     R"("learning_rate":{},"l1_coefficient":{}}})",
                     metrics.step, metrics.loss, metrics.mse, metrics.l1, metrics.l0, metrics.dead,
                     metrics.sparse_path, rates.learning_rate, rates.l1_coefficient);
}

}  // namespace

Autoencoder train_autoencoder(const AutoencoderTraining& config, ActivationSource& source,
                              const std::filesystem::path& work_folder,
                              const std::string& progress_label) {
  return train_autoencoder_on(StepPath::kAutomatic, config, source, work_folder, progress_label);
}

Autoencoder train_autoencoder_on(StepPath path, const AutoencoderTraining& config,
                                 ActivationSource& source, const std::filesystem::path& work_folder,
                                 const std::string& progress_label) {
  check_autoencoder_training(config);
  check_source(config, source);
  create_folder(work_folder);
  const std::filesystem::path checkpoint = work_folder / kCheckpointFile;
  LineLog log(work_folder / "metrics.jsonl");

  TrainingState state;
  int64_t metrics_offset = 0;
  if (std::filesystem::exists(checkpoint)) {
    state = load_checkpoint(checkpoint, config, source.width(), metrics_offset);
    log_info(fmt::format("{}: going on from step {}", progress_label, state.step));
  } else {
    state = initial_state(config, source);
    log_info(fmt::format(
        "{}: {} features on {} elements, {} steps, L1 coefficient {} (λ of the mean over elements; "
        "{:.4g} if the error is summed)",
        progress_label, state.weights.feature_count, source.width(), config.steps,
        config.l1_coefficient, config.l1_coefficient * static_cast<double>(source.width())));
  }
  log.truncate_to(metrics_offset);

  const auto save = [&] { save_checkpoint(checkpoint, config, state, log.offset()); };
  TrainingStep training_step(config);
  Progress progress(progress_label, config.steps, "steps", state.step);
  std::vector<float> x;
  while (state.step < config.steps) {
    // Until the step itself nothing changes the state but the very end of a resampling, so after
    // a signal it is saved as it was and what was being computed is redone.
    const auto interruptible = [&](const auto& work) {
      try {
        throw_if_interrupted();
        return work();
      } catch (const Interrupted&) {
        save();
        throw;
      }
    };
    const int64_t step = state.step;
    const int64_t rows = interruptible([&] { return source.batch(step, x); });
    if (rows <= 0 || std::ssize(x) != rows * source.width()) {
      throw Error(fmt::format("{}: batch {} has {} rows and {} numbers, expected rows of {}",
                              progress_label, step, rows, x.size(), source.width()));
    }
    if (resamples_at(config, state.step)) {
      const int64_t revived =
          interruptible([&] { return resample_dead_features(state, config, source); });
      log_verbose(fmt::format("{}: step {}, {} dead features resampled", progress_label, state.step,
                              revived));
    }
    const bool sparse = path == StepPath::kAutomatic ? state.sparse : path == StepPath::kSparse;
    StepMetrics metrics = training_step.run(state, x, rows, sparse);
    check_finite(metrics, state, x, progress_label);
    metrics.dead = count_dead(state, config);
    state.sparse =
        choose_path(state.sparse, metrics.l0 / static_cast<double>(state.weights.feature_count));
    log.append(metrics_line(metrics, rates_at(config, step)));
    progress.update(state.step, fmt::format("loss {:.4g}, L0 {:.1f}", metrics.loss, metrics.l0));
    if (state.step % config.checkpoint_every == 0 || state.step == config.steps) save();
  }
  return fold(state, config.center_elements);
}

}  // namespace featflow
