#include "training/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/progress.hpp"
#include "storage/artifact.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"
#include "training/backpropagation.hpp"
#include "training/optimizer.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

nlohmann::ordered_json to_json(const std::map<std::string, ValidationScore>& scores) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [corpus, score] : scores) {
    json[corpus] = {{"loss", score.loss}, {"accuracy", score.accuracy}};
  }
  return json;
}

// What a training checkpoint belongs to: everything that the weights after it depend on.
std::string run_identity(const Checkpoint& start, const TrainingConfig& config,
                         const BlockMixture& text) {
  Hasher hasher;
  hasher.field(to_json(start.config));
  for (const auto& [name, tensor] : start.tensors) {
    hasher.field(name);
    hasher.update(std::as_bytes(std::span(tensor.data)));
  }
  hasher.field(fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} {}", config.block_size, config.batch_blocks, config.tokens,
      config.learning_rate, config.warmup_steps, config.minimum_rate_share, config.weight_decay,
      config.beta1, config.beta2, config.epsilon, config.clip_norm, config.head_chunk));
  hasher.field(fmt::format("{}", config.evaluate_every));
  const std::vector<int32_t> first_batch = text.tokens(0, config.batch_blocks);
  hasher.update(std::as_bytes(std::span(first_batch)));
  return hasher.hex();
}

// The whole state of a run between two updates is its step, weights and moments, and whether the
// validation of this step is done: batches are numbered, and nothing is random.
class TrainingState {
 public:
  TrainingState(std::span<float> weights, const fs::path& work_folder, std::string identity)
      : weights_(weights),
        file_(work_folder / kCheckpointFile),
        identity_(std::move(identity)),
        m_(weights.size(), 0.0f),
        v_(weights.size(), 0.0f) {}

  // Takes up a run that was broken off; otherwise step stays 0.
  void load(LineLog& metrics, int64_t steps) {
    if (!fs::exists(file_)) return metrics.truncate_to(0);
    const SafetensorsFile saved(file_);
    if (saved.metadata("run") != identity_) {
      throw Error(
          fmt::format("{}: belongs to a run with another start, text or configuration; "
                      "delete it to train from the beginning",
                      file_.string()));
    }
    const std::vector<int64_t> shape = {std::ssize(weights_)};
    std::ranges::copy(saved.read<float>("weights", shape), weights_.begin());
    m_ = saved.read<float>("m", shape);
    v_ = saved.read<float>("v", shape);
    step = saved.metadata_integer("step", 0, steps);
    validated = saved.metadata("validated") == "1";
    final_loss = std::strtod(saved.metadata("loss").c_str(), nullptr);  // for the summary alone
    metrics.truncate_to(
        saved.metadata_integer("metrics_offset", 0, std::numeric_limits<int64_t>::max()));
  }

  void save(LineLog& metrics) const {
    const std::vector<int64_t> shape = {std::ssize(weights_)};
    write_safetensors(file_,
                      {tensor_view<float>("weights", shape, std::span<const float>(weights_)),
                       tensor_view("m", shape, m_), tensor_view("v", shape, v_)},
                      {{"run", identity_},
                       {"step", std::to_string(step)},
                       {"validated", validated ? "1" : "0"},
                       {"loss", fmt::format("{}", final_loss)},
                       {"metrics_offset", std::to_string(metrics.offset())}});
  }

  std::span<float> weights() { return weights_; }
  std::span<float> m() { return m_; }
  std::span<float> v() { return v_; }
  int64_t step = 0;
  bool validated = true;  // Nothing is left to measure at this step.
  double final_loss = 0;

 private:
  std::span<float> weights_;
  fs::path file_;
  std::string identity_;
  std::vector<float> m_, v_;
};

struct Update {
  double learning_rate = 0, gradient_norm = 0;
};

Update update_weights(const TrainingConfig& config, int64_t steps, const Backpropagation& network,
                      TrainingState& state) {
  Update update{learning_rate_at(config, state.step, steps), global_norm(network.gradients())};
  AdamWUpdate adamw{.step = state.step + 1,
                    .learning_rate = update.learning_rate,
                    .beta1 = config.beta1,
                    .beta2 = config.beta2,
                    .epsilon = config.epsilon};
  if (config.clip_norm > 0) {
    adamw.gradient_scale = std::min(1.0, config.clip_norm / (update.gradient_norm + 1e-6));
  }
  // Matrices are decayed, embeddings and head included, norms are not. (The paper's authors, by
  // their library's version, decayed the norms too.)
  for (const ParameterSlot& slot : network.layout().slots()) {
    adamw.weight_decay = slot.shape.size() > 1 ? config.weight_decay : 0;
    const auto part = [&slot](auto values) {
      return values.subspan(static_cast<size_t>(slot.offset), static_cast<size_t>(slot.count));
    };
    adamw.apply(part(state.weights()), part(network.gradients()), part(state.m()), part(state.v()));
  }
  return update;
}

void log_start(const std::string& label, const TrainingConfig& config, int64_t steps,
               int64_t parameters, const BlockMixture& text, int64_t first_step) {
  std::string epochs;
  const std::vector<double> passes = text.epochs();
  for (size_t i = 0; i < passes.size(); ++i) {
    epochs += fmt::format("{}{} {:.2f}", i ? ", " : "", text.components()[i].corpus, passes[i]);
  }
  log_info(fmt::format("{}: {} parameters, {} tokens in {} steps of {} × {}; epochs: {}{}", label,
                       parameters, steps * config.batch_blocks * config.block_size, steps,
                       config.batch_blocks, config.block_size, epochs,
                       first_step ? fmt::format("; goes on at step {}", first_step) : ""));
}

}  // namespace

TrainedModel train_model(const Checkpoint& start, const TrainingConfig& config,
                         const BlockMixture& text, const Validation& validate,
                         const fs::path& work_folder, const std::string& label) {
  const int64_t steps = training_steps(config), time = config.block_size;
  const int64_t batch_tokens = config.batch_blocks * time;
  FEATFLOW_CHECK(text.block_size() == time && text.block_count() >= steps * config.batch_blocks,
                 "the mixture has the blocks that the run will use");
  if (time > start.config.max_position_embeddings) {
    throw Error(
        fmt::format("training.block_size is {}, expected at most the model's "
                    "max_position_embeddings, {}",
                    time, start.config.max_position_embeddings));
  }

  Model model(start);
  Backpropagation network(model);
  create_folder(work_folder);
  LineLog metrics(work_folder / "metrics.jsonl");
  TrainingState state(network.weights(), work_folder, run_identity(start, config, text));
  state.load(metrics, steps);
  const int64_t first_step = state.step;
  log_start(label, config, steps, network.layout().size(), text, first_step);

  Progress progress(label, steps * batch_tokens, "tokens", state.step * batch_tokens);
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    try {
      throw_if_interrupted();
      if (!state.validated) {
        const nlohmann::ordered_json scores = to_json(validate(model, state.step));
        metrics.append(nlohmann::ordered_json{{"step", state.step}, {"validation", scores}}.dump());
        state.validated = true;
        throw_if_interrupted();
      }
    } catch (const Interrupted&) {
      state.save(metrics);
      throw;
    }
    const bool last = state.step == steps;
    if (last || (config.checkpoint_every > 0 && state.step > first_step &&
                 state.step % config.checkpoint_every == 0)) {
      state.save(metrics);
    }
    if (last) break;

    const auto ids = text.tokens(state.step * config.batch_blocks, config.batch_blocks);
    const double loss = network.run(ids, config.batch_blocks, time, config.head_chunk);
    const Update update =
        std::isfinite(loss) ? update_weights(config, steps, network, state) : Update{};
    if (!std::isfinite(loss) || !std::isfinite(update.gradient_norm)) {
      throw Error(fmt::format(
          "{}: {} is {} at step {}; {}", label, std::isfinite(loss) ? "gradient norm" : "loss",
          std::isfinite(loss) ? update.gradient_norm : loss, state.step,
          state.step == 0 ? "the starting model's weights are probably damaged"
                          : fmt::format("training.learning_rate {} is probably too high",
                                        config.learning_rate)));
    }
    state.final_loss = loss;
    state.step += 1;
    metrics.append(nlohmann::ordered_json{{"step", state.step},
                                          {"loss", loss},
                                          {"learning_rate", update.learning_rate},
                                          {"gradient_norm", update.gradient_norm},
                                          {"tokens", state.step * batch_tokens}}
                       .dump());
    state.validated = !(validate && config.evaluate_every > 0 &&
                        (state.step == steps || state.step % config.evaluate_every == 0));
    progress.update(state.step * batch_tokens, fmt::format("loss {:.3f}", loss));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  TrainedModel trained{
      .checkpoint = {start.config, network.layout().unpack(network.weights())},
      .steps = steps,
      .tokens = steps * batch_tokens,
      .final_loss = state.final_loss,
      .tokens_per_second = static_cast<double>((steps - first_step) * batch_tokens) /
                           std::max(seconds.count(), 1e-9)};
  log_info(fmt::format("{}: loss {:.4f} after {} tokens, {:.0f} tokens/s", label,
                       trained.final_loss, trained.tokens, trained.tokens_per_second));
  return trained;
}

}  // namespace featflow
