#include "autoencoder/training_step.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

constexpr int64_t kTokenChunk = 64;        // tokens of a worker whose rows stay in L2
constexpr int64_t kFeatureChunk = 64;      // features of one partial sum of ∂b_d
constexpr int64_t kDenseFeatures = 256;    // features of a dense gradient block
constexpr int64_t kDenseTokens = 256;      // tokens of a dense decoding block
constexpr int64_t kBlockedDecodeL0 = 100;  // above it dictionary vectors are visited in blocks
constexpr int64_t kDecodeBlock = 32;       // … of so many

// Where the entries of the features below some bound end, for each token of a chunk.
class RowCursors {
 public:
  RowCursors(const SparseRows& rows, int64_t begin, int64_t end) : rows_(rows), begin_(begin) {
    at_.assign(rows.row_offsets.begin() + begin, rows.row_offsets.begin() + end);
  }
  // The entries [first, second) of `token` not passed yet with feature < bound.
  std::pair<int64_t, int64_t> advance(int64_t token, int64_t bound) {
    int64_t& at = at_[static_cast<size_t>(token - begin_)];
    const int64_t first = at, end = rows_.row_offsets[static_cast<size_t>(token) + 1];
    while (at < end && rows_.features[static_cast<size_t>(at)] < bound) ++at;
    return {first, at};
  }

 private:
  const SparseRows& rows_;
  int64_t begin_;
  std::vector<int64_t> at_;
};

}  // namespace

bool choose_path(bool was_sparse, double active_share) {
  return was_sparse ? active_share <= kDenseAbove : active_share < kSparseBelow;
}

void prepare_batch(const TrainingState& state, bool center_elements, std::span<const float> x,
                   int64_t rows, PreparedBatch& batch) {
  const int64_t n = state.weights.input_size;
  FEATFLOW_CHECK(std::ssize(x) == rows * n, "a batch must be [rows, n]");
  batch.rows = rows;
  batch.target.resize(x.size());
  batch.input.resize(x.size());
  const auto scale = static_cast<float>(state.scale);
  const float* bias = state.weights.decoder_bias.data();
  for_each_chunk(rows, kTokenChunk, [&](int64_t, int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* from = x.data() + t * n;
      float* target = batch.target.data() + t * n;
      float* input = batch.input.data() + t * n;
      for (int64_t i = 0; i < n; ++i) target[i] = scale * from[i];
      float mean = 0;
      if (center_elements) {
        mean =
            static_cast<float>(std::accumulate(target, target + n, 0.0) / static_cast<double>(n));
      }
      for (int64_t i = 0; i < n; ++i) input[i] = target[i] - mean - bias[i];
    }
  });
}

StepMetrics TrainingStep::run(TrainingState& state, std::span<const float> x, int64_t rows,
                              bool sparse) {
  const int64_t n = state.weights.input_size, m = state.weights.feature_count;
  FEATFLOW_CHECK(rows > 0, "a step needs tokens");
  rates_ = rates_at(config_, state.step);
  prepare_batch(state, config_.center_elements, x, rows, batch_);
  residual_.resize(batch_.target.size());
  squared_error_.assign(static_cast<size_t>(rows), 0);
  l1_.assign(static_cast<size_t>(rows), 0);
  active_tokens_.assign(static_cast<size_t>(m), 0);

  if (sparse) {
    dense_ = {};  // up to 200 MB that are not needed any more
    sparse_step(state);
  } else {
    dense_step(state);
  }
  update_decoder_bias(state);

  for (size_t j = 0; j < active_tokens_.size(); ++j) {
    if (active_tokens_[j] > 0) state.last_active[j] = state.step;
  }
  StepMetrics metrics;
  const auto tokens = static_cast<double>(rows);
  metrics.step = state.step++;
  metrics.mse = std::accumulate(squared_error_.begin(), squared_error_.end(), 0.0) /
                (tokens * static_cast<double>(n));
  metrics.l1 = std::accumulate(l1_.begin(), l1_.end(), 0.0) / tokens;
  metrics.l0 = static_cast<double>(
                   std::accumulate(active_tokens_.begin(), active_tokens_.end(), int64_t{0})) /
               tokens;
  metrics.loss = metrics.mse + rates_.l1_coefficient * metrics.l1;
  metrics.sparse_path = sparse;
  return metrics;
}

void TrainingStep::differentiate_residual(int64_t token, int64_t n, float* column_sum) {
  float* residual = residual_.data() + token * n;
  add_scaled(-1, batch_.target.data() + token * n, residual, n);
  squared_error_[static_cast<size_t>(token)] = static_cast<double>(dot(residual, residual, n));
  multiply(static_cast<float>(2.0 / static_cast<double>(n * batch_.rows)), residual, n);
  add_scaled(1, residual, column_sum, n);
}

void TrainingStep::sparse_step(TrainingState& state) {
  const Autoencoder& weights = state.weights;
  const int64_t n = weights.input_size, m = weights.feature_count, rows = batch_.rows;
  const float* decoder = weights.decoder_weight.data();
  encoder_.encode(weights, batch_.input.data(), rows, active_);
  transpose(active_, columns_);
  df_.resize(active_.features.size());

  // Token by token: x̂, G and ∂f. When many features are active, in blocks of dictionary vectors,
  // each read from L2 by a whole chunk of tokens; the order of every sum stays the same.
  const int64_t block = active_.active() > kBlockedDecodeL0 * rows ? kDecodeBlock : m;
  const auto l1_gradient = static_cast<float>(rates_.l1_coefficient / static_cast<double>(rows));
  token_sums_.assign(static_cast<size_t>(chunk_count(rows, kTokenChunk) * n), 0);
  for_each_chunk(rows, kTokenChunk, [&](int64_t chunk, int64_t begin, int64_t end, int) {
    RowCursors decoding(active_, begin, end), differentiating(active_, begin, end);
    for (int64_t t = begin; t < end; ++t) {
      std::copy_n(weights.decoder_bias.data(), n, residual_.data() + t * n);
    }
    for (int64_t bound = block; bound < m + block; bound += block) {
      for (int64_t t = begin; t < end; ++t) {
        const auto [first, last] = decoding.advance(t, bound);
        add_rows(active_.values.data() + first, active_.features.data() + first, last - first,
                 decoder, residual_.data() + t * n, n);
      }
    }
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = active_.row_offsets[static_cast<size_t>(t)];
      const int64_t last = active_.row_offsets[static_cast<size_t>(t) + 1];
      l1_[static_cast<size_t>(t)] =
          static_cast<double>(sum(active_.values.data() + first, last - first));
      differentiate_residual(t, n, token_sums_.data() + chunk * n);
    }
    for (int64_t bound = block; bound < m + block; bound += block) {
      for (int64_t t = begin; t < end; ++t) {
        const auto [first, last] = differentiating.advance(t, bound);
        dot_rows(active_.features.data() + first, last - first, decoder, residual_.data() + t * n,
                 df_.data() + first, n);
        for (int64_t e = first; e < last; ++e) df_[static_cast<size_t>(e)] += l1_gradient;
      }
    }
  });

  // Feature by feature: gradients of its two rows and its bias, and at once the update.
  feature_sums_.assign(static_cast<size_t>(chunk_count(m, kFeatureChunk) * n), 0);
  for_each_chunk(m, kFeatureChunk, [&](int64_t chunk, int64_t begin, int64_t end, int) {
    std::vector<float> encoder_gradient(static_cast<size_t>(n)), decoder_gradient(encoder_gradient);
    std::vector<float> f, df;  // of one feature, token by token
    for (int64_t j = begin; j < end; ++j) {
      std::fill(encoder_gradient.begin(), encoder_gradient.end(), 0.0f);
      std::fill(decoder_gradient.begin(), decoder_gradient.end(), 0.0f);
      double bias_gradient = 0;
      const int64_t first = columns_.offsets[static_cast<size_t>(j)];
      const int64_t last = columns_.offsets[static_cast<size_t>(j) + 1];
      f.clear();
      df.clear();
      for (int64_t e = first; e < last; ++e) {
        const auto slot = static_cast<size_t>(columns_.slots[static_cast<size_t>(e)]);
        f.push_back(active_.values[slot]);
        df.push_back(df_[slot]);
        bias_gradient += static_cast<double>(df_[slot]);
      }
      const int32_t* tokens = columns_.tokens.data() + first;
      add_rows(f.data(), tokens, last - first, residual_.data(), decoder_gradient.data(), n);
      add_rows(df.data(), tokens, last - first, batch_.input.data(), encoder_gradient.data(), n);
      active_tokens_[static_cast<size_t>(j)] = last - first;
      if (last > first) {
        add_scaled(static_cast<float>(-bias_gradient), weights.encoder_weight.data() + j * n,
                   feature_sums_.data() + chunk * n, n);
      }
      update_feature(state, j, encoder_gradient.data(), decoder_gradient.data(), bias_gradient);
    }
  });
}

void TrainingStep::dense_step(TrainingState& state) {
  const Autoencoder& weights = state.weights;
  const int64_t n = weights.input_size, m = weights.feature_count, rows = batch_.rows;
  const float* decoder = weights.decoder_weight.data();
  dense_.resize(static_cast<size_t>(rows * m));  // f [B, m]
  TiledEncoder::encode_dense(weights, batch_.input.data(), rows, dense_.data());

  token_sums_.assign(static_cast<size_t>(chunk_count(rows, kDenseTokens) * n), 0);
  for_each_chunk(rows, kDenseTokens, [&](int64_t chunk, int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      std::copy_n(weights.decoder_bias.data(), n, residual_.data() + t * n);
    }
    sgemm(Transpose::kNo, Transpose::kNo, end - begin, n, m, 1, dense_.data() + begin * m, m,
          decoder, n, 1, residual_.data() + begin * n, n);
    for (int64_t t = begin; t < end; ++t) {
      const float* f = dense_.data() + t * m;
      l1_[static_cast<size_t>(t)] = static_cast<double>(sum(f, m));
      differentiate_residual(t, n, token_sums_.data() + chunk * n);
    }
  });

  const auto l1_gradient = static_cast<float>(rates_.l1_coefficient / static_cast<double>(rows));
  feature_sums_.assign(static_cast<size_t>(chunk_count(m, kDenseFeatures) * n), 0);
  struct Gradients {
    std::vector<float> df, encoder, decoder;
  };
  std::vector<Gradients> of_worker(static_cast<size_t>(thread_count()));
  for_each_chunk(m, kDenseFeatures, [&](int64_t chunk, int64_t begin, int64_t end, int worker) {
    Gradients& gradients = of_worker[static_cast<size_t>(worker)];
    const int64_t count = end - begin;
    gradients.df.resize(static_cast<size_t>(rows * count));  // ∂f [B, count]
    gradients.encoder.resize(static_cast<size_t>(count * n));
    gradients.decoder.resize(static_cast<size_t>(count * n));
    sgemm(Transpose::kNo, Transpose::kYes, rows, count, n, 1, residual_.data(), n,
          decoder + begin * n, n, 0, gradients.df.data(), count);
    std::vector<double> bias_gradients(static_cast<size_t>(count), 0);
    for (int64_t t = 0; t < rows; ++t) {
      const float* f = dense_.data() + t * m + begin;
      float* df = gradients.df.data() + t * count;
      for (int64_t j = 0; j < count; ++j) {
        const bool active = f[j] > 0;
        df[j] = active ? df[j] + l1_gradient : 0;
        bias_gradients[static_cast<size_t>(j)] += static_cast<double>(df[j]);
        active_tokens_[static_cast<size_t>(begin + j)] += active;
      }
    }
    sgemm(Transpose::kYes, Transpose::kNo, count, n, rows, 1, gradients.df.data(), count,
          batch_.input.data(), n, 0, gradients.encoder.data(), n);
    sgemm(Transpose::kYes, Transpose::kNo, count, n, rows, 1, dense_.data() + begin, m,
          residual_.data(), n, 0, gradients.decoder.data(), n);
    for (int64_t j = begin; j < end; ++j) {
      const double bias_gradient = bias_gradients[static_cast<size_t>(j - begin)];
      add_scaled(static_cast<float>(-bias_gradient), weights.encoder_weight.data() + j * n,
                 feature_sums_.data() + chunk * n, n);
      update_feature(state, j, gradients.encoder.data() + (j - begin) * n,
                     gradients.decoder.data() + (j - begin) * n, bias_gradient);
    }
  });
}

void TrainingStep::update_feature(TrainingState& state, int64_t feature,
                                  const float* encoder_gradient, float* decoder_gradient,
                                  double bias_gradient) {
  const int64_t n = state.weights.input_size;
  const auto j = static_cast<size_t>(feature);
  const AdamStep adam(rates_.learning_rate, config_.beta1, config_.beta2, config_.epsilon,
                      state.step - state.moment_start[j] + 1);

  adam.update(encoder_gradient, state.weights.encoder_weight.data() + feature * n,
              state.moment1.encoder_weight.data() + feature * n,
              state.moment2.encoder_weight.data() + feature * n, n);
  const auto gradient = static_cast<float>(bias_gradient);
  adam.update(&gradient, &state.weights.encoder_bias[j], &state.moment1.encoder_bias[j],
              &state.moment2.encoder_bias[j], 1);

  // Definitions 3: what the new norm would undo is kept out of Adam's moments.
  float* direction = state.weights.decoder_weight.data() + feature * n;
  add_scaled(-dot(decoder_gradient, direction, n), direction, decoder_gradient, n);
  adam.update(decoder_gradient, direction, state.moment1.decoder_weight.data() + feature * n,
              state.moment2.decoder_weight.data() + feature * n, n);
  multiply(1 / std::sqrt(dot(direction, direction, n)), direction, n);
}

void TrainingStep::update_decoder_bias(TrainingState& state) {
  const int64_t n = state.weights.input_size;
  std::vector<double> total(static_cast<size_t>(n), 0);
  for (const std::vector<float>* parts : {&token_sums_, &feature_sums_}) {
    for (size_t first = 0; first < parts->size(); first += total.size()) {
      for (size_t i = 0; i < total.size(); ++i) {
        total[i] += static_cast<double>((*parts)[first + i]);
      }
    }
  }
  const std::vector<float> gradient(total.begin(), total.end());
  const AdamStep adam(rates_.learning_rate, config_.beta1, config_.beta2, config_.epsilon,
                      state.step + 1);
  adam.update(gradient.data(), state.weights.decoder_bias.data(), state.moment1.decoder_bias.data(),
              state.moment2.decoder_bias.data(), n);
}

}  // namespace featflow
