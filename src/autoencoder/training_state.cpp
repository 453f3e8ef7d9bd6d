#include "autoencoder/training_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autoencoder/kernels.hpp"
#include "autoencoder/tiles.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

constexpr int64_t kSampleRows = 8192;

Autoencoder zeros(int64_t n, int64_t m) {
  Autoencoder result;
  result.input_size = n;
  result.feature_count = m;
  result.encoder_weight.resize(static_cast<size_t>(m * n));
  result.encoder_bias.resize(static_cast<size_t>(m));
  result.decoder_weight.resize(static_cast<size_t>(m * n));
  result.decoder_bias.resize(static_cast<size_t>(n));
  return result;
}

// The first rows of the source: x [rows, n].
std::vector<float> first_rows(const AutoencoderTraining& config, ActivationSource& source) {
  const auto wanted = static_cast<size_t>(kSampleRows * source.width());
  std::vector<float> sample, batch;
  for (int64_t step = 0; step < config.steps && sample.size() < wanted; ++step) {
    const int64_t rows = source.batch(step, batch);
    const auto size = std::min(static_cast<size_t>(rows * source.width()), wanted - sample.size());
    sample.insert(sample.end(), batch.begin(), batch.begin() + static_cast<int64_t>(size));
  }
  return sample;
}

// What a checkpoint must agree in: everything that has influence on the result.
std::string canonical(const AutoencoderTraining& c) {
  return fmt::format(
      "expansion={} l1_coefficient={} learning_rate={} beta1={} beta2={} epsilon={} "
      "warmup_steps={} decay_share={} l1_warmup_share={} normalize={} center_elements={} "
      "resample={} steps={} seed={}",
      c.expansion, c.l1_coefficient, c.learning_rate, c.beta1, c.beta2, c.epsilon, c.warmup_steps,
      c.decay_share, c.l1_warmup_share, c.normalize, c.center_elements, c.resample, c.steps,
      c.seed);
}

// Calls visit(tensor name, shape, vector) for the four weights of an autoencoder.
template <typename AutoencoderRef, typename Visit>
void for_each_weight(const std::string& prefix, AutoencoderRef& a, const Visit& visit) {
  visit(prefix + "encoder_weight", std::vector{a.feature_count, a.input_size}, a.encoder_weight);
  visit(prefix + "encoder_bias", std::vector{a.feature_count}, a.encoder_bias);
  visit(prefix + "decoder_weight", std::vector{a.feature_count, a.input_size}, a.decoder_weight);
  visit(prefix + "decoder_bias", std::vector{a.input_size}, a.decoder_bias);
}

}  // namespace

TrainingState initial_state(const AutoencoderTraining& config, ActivationSource& source) {
  const int64_t n = source.width(), m = config.expansion * n;
  TrainingState state;
  state.weights = zeros(n, m);
  state.moment1 = zeros(n, m);
  state.moment2 = zeros(n, m);
  state.last_active.assign(static_cast<size_t>(m), 0);
  state.moment_start.assign(static_cast<size_t>(m), 0);

  Rng rng(config.seed, "autoencoder dictionary");
  const float encoder_scale = 2 * static_cast<float>(n) / static_cast<float>(m);
  for (int64_t j = 0; j < m; ++j) {
    float* direction = state.weights.decoder_weight.data() + j * n;
    for (int64_t i = 0; i < n; ++i) direction[i] = static_cast<float>(rng.normal());
    multiply(1 / std::sqrt(dot(direction, direction, n)), direction, n);
    add_scaled(encoder_scale, direction, state.weights.encoder_weight.data() + j * n, n);
  }

  std::vector<float> sample = first_rows(config, source);
  const int64_t rows = std::ssize(sample) / n;
  if (rows == 0) throw Error("autoencoder: the activation source gave no rows to start from");
  double square = 0;
  for (int64_t t = 0; t < rows; ++t) {
    square += static_cast<double>(dot(sample.data() + t * n, sample.data() + t * n, n));
  }
  const double mean_square = square / static_cast<double>(rows);
  if (!std::isfinite(mean_square) || mean_square <= 0) {
    throw Error(fmt::format(
        "autoencoder: the mean squared norm of the first {} activation rows is {}, expected a "
        "positive number: the model's activations are zero, infinite or NaN",
        rows, mean_square));
  }
  if (config.normalize) state.scale = std::sqrt(static_cast<double>(n) / mean_square);
  multiply(static_cast<float>(state.scale), sample.data(), std::ssize(sample));
  state.weights.decoder_bias = geometric_median(sample, rows, n);
  return state;
}

Autoencoder fold(const TrainingState& state, bool center_elements) {
  Autoencoder result = state.weights;
  const int64_t n = result.input_size;
  if (center_elements) {
    // W' = W_e(I − 11ᵀ/n): each row less its mean; b_e' = b_e − W_e b_d + W' b_d.
    for (int64_t j = 0; j < result.feature_count; ++j) {
      float* row = result.encoder_weight.data() + j * n;
      double mean = 0, bias_sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        mean += static_cast<double>(row[i]) / static_cast<double>(n);
        bias_sum += static_cast<double>(result.decoder_bias[static_cast<size_t>(i)]);
      }
      for (int64_t i = 0; i < n; ++i)
        row[i] = static_cast<float>(static_cast<double>(row[i]) - mean);
      result.encoder_bias[static_cast<size_t>(j)] -= static_cast<float>(mean * bias_sum);
    }
  }
  const auto inverse = static_cast<float>(1 / state.scale);
  multiply(inverse, result.encoder_bias.data(), std::ssize(result.encoder_bias));
  multiply(inverse, result.decoder_bias.data(), std::ssize(result.decoder_bias));
  return result;
}

std::vector<float> geometric_median(std::span<const float> x, int64_t rows, int64_t n) {
  FEATFLOW_CHECK(rows > 0 && std::ssize(x) == rows * n, "x must be [rows, n]");
  constexpr int kMaxIterations = 100;
  constexpr double kTolerance = 1e-5;  // of the mean distance: far below what training moves b_d
  constexpr int64_t kChunk = 256;
  const int64_t chunks = chunk_count(rows, kChunk);
  std::vector<float> median(static_cast<size_t>(n));
  std::vector<double> parts;  // per chunk: Σ w x [n], Σ w, Σ distance
  for (int iteration = 0; iteration <= kMaxIterations; ++iteration) {
    parts.assign(static_cast<size_t>(chunks * (n + 2)), 0);
    for_each_chunk(rows, kChunk, [&](int64_t chunk, int64_t begin, int64_t end, int) {
      double* part = parts.data() + chunk * (n + 2);
      std::vector<float> difference(static_cast<size_t>(n));
      for (int64_t t = begin; t < end; ++t) {
        const float* row = x.data() + t * n;
        for (int64_t i = 0; i < n; ++i)
          difference[static_cast<size_t>(i)] = row[i] - median[static_cast<size_t>(i)];
        const double distance =
            std::sqrt(static_cast<double>(dot(difference.data(), difference.data(), n)));
        // The first pass starts from the mean; a row that is the median itself has no pull.
        const double weight = iteration == 0 ? 1 : distance > 1e-12 ? 1 / distance : 0;
        for (int64_t i = 0; i < n; ++i) part[i] += weight * static_cast<double>(row[i]);
        part[n] += weight;
        part[n + 1] += distance;
      }
    });
    for (int64_t chunk = 1; chunk < chunks; ++chunk) {
      for (int64_t i = 0; i < n + 2; ++i) {
        parts[static_cast<size_t>(i)] += parts[static_cast<size_t>(chunk * (n + 2) + i)];
      }
    }
    const double weight_sum = parts[static_cast<size_t>(n)];
    if (weight_sum == 0) break;  // all rows are equal to the median
    double moved = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto next = static_cast<float>(parts[static_cast<size_t>(i)] / weight_sum);
      const double step = static_cast<double>(next - median[static_cast<size_t>(i)]);
      moved += step * step;
      median[static_cast<size_t>(i)] = next;
    }
    const double mean_distance = parts[static_cast<size_t>(n + 1)] / static_cast<double>(rows);
    if (iteration > 0 && std::sqrt(moved) <= kTolerance * mean_distance) break;
  }
  return median;
}

void save_checkpoint(const std::filesystem::path& file, const AutoencoderTraining& config,
                     const TrainingState& state, int64_t metrics_offset) {
  std::vector<TensorView> tensors;
  const auto add = [&](std::string name, std::vector<int64_t> shape, const auto& values) {
    tensors.push_back(tensor_view(std::move(name), std::move(shape), values));
  };
  for_each_weight("", state.weights, add);
  for_each_weight("moment1.", state.moment1, add);
  for_each_weight("moment2.", state.moment2, add);
  const std::vector<int64_t> counters = {state.step, state.sparse, metrics_offset};
  const std::vector<double> scale = {state.scale};
  add("last_active", {state.weights.feature_count}, state.last_active);
  add("moment_start", {state.weights.feature_count}, state.moment_start);
  add("counters", {3}, counters);
  add("scale", {1}, scale);
  write_safetensors(
      file, tensors,
      {{"format", "featflow autoencoder checkpoint 1"}, {"config", canonical(config)}});
}

TrainingState load_checkpoint(const std::filesystem::path& file, const AutoencoderTraining& config,
                              int64_t input_size, int64_t& metrics_offset) {
  const SafetensorsFile stored(file);
  if (stored.metadata("config") != canonical(config)) {
    throw Error(fmt::format(
        "{}: the checkpoint was made with {}, but this run has {}: delete the folder to start anew",
        file.string(), in_quotes(stored.metadata("config"), 400), canonical(config)));
  }
  TrainingState state;
  const auto read = [&](const std::string& name, const std::vector<int64_t>& shape, auto& values) {
    values = stored.read<typename std::decay_t<decltype(values)>::value_type>(name, shape);
  };
  const int64_t m = config.expansion * input_size;
  for (Autoencoder* a : {&state.weights, &state.moment1, &state.moment2}) {
    a->input_size = input_size;
    a->feature_count = m;
  }
  for_each_weight("", state.weights, read);
  for_each_weight("moment1.", state.moment1, read);
  for_each_weight("moment2.", state.moment2, read);
  std::vector<int64_t> counters;
  std::vector<double> scale;
  read("last_active", {m}, state.last_active);
  read("moment_start", {m}, state.moment_start);
  read("counters", {3}, counters);
  read("scale", {1}, scale);
  const bool in_range = counters[0] >= 0 && counters[0] <= config.steps && counters[2] >= 0 &&
                        std::isfinite(scale[0]) && scale[0] > 0 &&
                        std::ranges::all_of(state.moment_start, [&](int64_t start) {
                          return start >= 0 && start <= counters[0];
                        });
  if (!in_range) {
    throw Error(fmt::format("{}: counters are out of range: the checkpoint is damaged; delete it",
                            file.string()));
  }
  state.step = counters[0];
  state.sparse = counters[1] != 0;
  metrics_offset = counters[2];
  state.scale = scale[0];
  return state;
}

}  // namespace featflow
