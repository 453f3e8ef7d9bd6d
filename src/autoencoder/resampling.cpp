#include "autoencoder/resampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "autoencoder/kernels.hpp"
#include "autoencoder/tiles.hpp"
#include "autoencoder/training_step.hpp"
#include "core/interrupt.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

std::vector<int64_t> dead_features(const TrainingState& state, const AutoencoderTraining& config) {
  std::vector<int64_t> dead;
  for (size_t j = 0; j < state.last_active.size(); ++j) {
    if (state.step - state.last_active[j] > resampling_window(config)) {
      dead.push_back(static_cast<int64_t>(j));
    }
  }
  return dead;
}

// Loss of every token of a batch (definitions 2).
std::vector<double> token_losses(const TrainingState& state, const PreparedBatch& batch,
                                 double l1_coefficient, TiledEncoder& encoder) {
  const int64_t n = state.weights.input_size;
  SparseRows features;
  encoder.encode(state.weights, batch.input.data(), batch.rows, features);
  std::vector<float> residual(batch.target.size());
  decode(state.weights, features, residual);
  std::vector<double> losses(static_cast<size_t>(batch.rows));
  for (int64_t t = 0; t < batch.rows; ++t) {
    float* row = residual.data() + t * n;
    add_scaled(-1, batch.target.data() + t * n, row, n);
    const int64_t first = features.row_offsets[static_cast<size_t>(t)];
    const int64_t last = features.row_offsets[static_cast<size_t>(t) + 1];
    losses[static_cast<size_t>(t)] =
        static_cast<double>(dot(row, row, n)) / static_cast<double>(n) +
        l1_coefficient * static_cast<double>(sum(features.values.data() + first, last - first));
  }
  return losses;
}

// Weighted sampling without replacement in one pass (Efraimidis and Spirakis 2006): the rows with
// the largest keys log(u)/w are a sample of successive draws with p ∝ w.
class WeightedRows {
 public:
  WeightedRows(int64_t capacity, int64_t n) : capacity_(static_cast<size_t>(capacity)), n_(n) {}

  void offer(const float* row, double weight, Rng& rng) {
    const double key = std::log(1 - rng.uniform()) / weight;
    if (!(weight > 0) || !std::isfinite(key)) return;
    size_t slot = keys_.size();
    if (slot == capacity_) {
      if (key <= keys_.begin()->first) return;
      slot = keys_.begin()->second;
      keys_.erase(keys_.begin());
    } else {
      rows_.resize(rows_.size() + static_cast<size_t>(n_));
    }
    std::copy_n(row, n_, rows_.data() + static_cast<int64_t>(slot) * n_);
    keys_.emplace(key, slot);
  }
  // The rows, in the order in which they were drawn.
  std::vector<const float*> drawn() const {
    std::vector<const float*> rows;
    for (auto key = keys_.rbegin(); key != keys_.rend(); ++key) {
      rows.push_back(rows_.data() + static_cast<int64_t>(key->second) * n_);
    }
    return rows;
  }

 private:
  size_t capacity_;
  int64_t n_;
  std::set<std::pair<double, size_t>> keys_;
  std::vector<float> rows_;  // [size, n]
};

}  // namespace

int64_t resampling_window(const AutoencoderTraining& config) {
  return std::max<int64_t>(config.steps / 10, 1);
}

bool resamples_at(const AutoencoderTraining& config, int64_t step) {
  return config.resample && step > 0 &&
         (step == config.steps * 2 / 10 || step == config.steps * 4 / 10 ||
          step == config.steps * 6 / 10);
}

int64_t count_dead(const TrainingState& state, const AutoencoderTraining& config) {
  return std::ssize(dead_features(state, config));
}

int64_t resample_dead_features(TrainingState& state, const AutoencoderTraining& config,
                               ActivationSource& source) {
  const std::vector<int64_t> dead = dead_features(state, config);
  if (dead.empty()) return 0;
  const int64_t n = state.weights.input_size;
  Rng rng(config.seed, fmt::format("resampling at step {}", state.step));

  std::set<int64_t> steps;  // of the batches to look at
  const int64_t batches = std::min(kResampleBatches, config.steps);
  while (std::ssize(steps) < batches) {
    steps.insert(static_cast<int64_t>(rng.below(static_cast<uint64_t>(config.steps))));
  }
  WeightedRows chosen(std::ssize(dead), n);
  TiledEncoder encoder;
  PreparedBatch batch;
  std::vector<float> x;
  for (const int64_t step : steps) {
    throw_if_interrupted();
    const int64_t rows = source.batch(step, x);
    prepare_batch(state, config.center_elements, x, rows, batch);
    const std::vector<double> losses =
        token_losses(state, batch, rates_at(config, state.step).l1_coefficient, encoder);
    for (int64_t t = 0; t < rows; ++t) {
      const double loss = losses[static_cast<size_t>(t)];
      chosen.offer(batch.input.data() + t * n, loss * loss, rng);
    }
  }

  double norm_sum = 0;
  int64_t alive = 0;
  for (int64_t j = 0, next_dead = 0; j < state.weights.feature_count; ++j) {
    if (next_dead < std::ssize(dead) && dead[static_cast<size_t>(next_dead)] == j) {
      ++next_dead;
      continue;
    }
    const float* row = state.weights.encoder_weight.data() + j * n;
    norm_sum += std::sqrt(static_cast<double>(dot(row, row, n)));
    ++alive;
  }
  const double encoder_norm = 0.2 * (alive > 0 ? norm_sum / static_cast<double>(alive) : 1.0);

  int64_t revived = 0;
  for (const float* input : chosen.drawn()) {
    const double norm = std::sqrt(static_cast<double>(dot(input, input, n)));
    if (!(norm > 0)) continue;
    const int64_t j = dead[static_cast<size_t>(revived++)];
    const auto to_row = [&](std::vector<float>& weight, double length) {
      for (int64_t i = 0; i < n; ++i) {
        weight[static_cast<size_t>(j * n + i)] =
            static_cast<float>(static_cast<double>(input[i]) / norm * length);
      }
    };
    to_row(state.weights.decoder_weight, 1);
    to_row(state.weights.encoder_weight, encoder_norm);
    for (Autoencoder* moment : {&state.moment1, &state.moment2}) {
      to_row(moment->decoder_weight, 0);
      to_row(moment->encoder_weight, 0);
      moment->encoder_bias[static_cast<size_t>(j)] = 0;
    }
    state.weights.encoder_bias[static_cast<size_t>(j)] = 0;
    state.moment_start[static_cast<size_t>(j)] = state.step;
    state.last_active[static_cast<size_t>(j)] = state.step;
  }
  return revived;
}

}  // namespace featflow
