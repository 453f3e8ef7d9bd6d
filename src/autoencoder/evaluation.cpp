#include "autoencoder/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autoencoder/tiles.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {

int64_t AutoencoderStatistics::dead() const { return std::ranges::count(active_rows, 0); }

double AutoencoderStatistics::dead_share() const {
  return static_cast<double>(dead()) / static_cast<double>(active_rows.size());
}

std::array<int64_t, kDensityBins> AutoencoderStatistics::density_histogram() const {
  std::array<int64_t, kDensityBins> histogram = {};
  for (const int64_t count : active_rows) {
    if (count == 0) continue;
    const double density = static_cast<double>(count) / static_cast<double>(rows);
    const double bin = std::floor((std::log10(density) - kLowestLog10Density) / kDensityBinWidth);
    ++histogram[static_cast<size_t>(std::clamp(bin, 0.0, kDensityBins - 1.0))];
  }
  return histogram;
}

AutoencoderEvaluator::AutoencoderEvaluator(const Autoencoder& autoencoder)
    : autoencoder_(autoencoder),
      shifted_sum_(static_cast<size_t>(autoencoder.input_size), 0),
      active_rows_(static_cast<size_t>(autoencoder.feature_count), 0) {}

void AutoencoderEvaluator::add(std::span<const float> x, int64_t rows) {
  const int64_t n = autoencoder_.input_size;
  FEATFLOW_CHECK(std::ssize(x) == rows * n, "x must be [rows, n]");
  if (rows == 0) return;
  if (shift_.empty()) {
    shift_.assign(static_cast<size_t>(n), 0);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        shift_[static_cast<size_t>(i)] += static_cast<double>(x[static_cast<size_t>(t * n + i)]);
      }
    }
    for (double& value : shift_) value /= static_cast<double>(rows);
  }

  const SparseRows features = encode(autoencoder_, x, rows);
  std::vector<float> x_hat(x.size());
  decode(autoencoder_, features, x_hat);
  for (const int32_t feature : features.features) ++active_rows_[static_cast<size_t>(feature)];
  rows_ += rows;

  // Per chunk: Σ (x − shift) [n], Σ‖x − shift‖², Σ‖x − x̂‖².
  constexpr int64_t kChunk = 256;
  std::vector<double> parts(static_cast<size_t>(chunk_count(rows, kChunk) * (n + 2)), 0);
  for_each_chunk(rows, kChunk, [&](int64_t chunk, int64_t begin, int64_t end, int) {
    double* part = parts.data() + chunk * (n + 2);
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(t * n + i);
        const double value = static_cast<double>(x[at]);
        const double centred = value - shift_[static_cast<size_t>(i)];
        const double error = value - static_cast<double>(x_hat[at]);
        part[i] += centred;
        part[n] += centred * centred;
        part[n + 1] += error * error;
      }
    }
  });
  for (size_t at = 0; at < parts.size(); at += static_cast<size_t>(n + 2)) {
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) shifted_sum_[i] += parts[at + i];
    shifted_square_ += parts[at + static_cast<size_t>(n)];
    squared_error_ += parts[at + static_cast<size_t>(n) + 1];
  }
}

AutoencoderStatistics AutoencoderEvaluator::result() const {
  if (rows_ == 0) throw Error("autoencoder evaluation: given no rows, expected at least one");
  const auto rows = static_cast<double>(rows_), n = static_cast<double>(autoencoder_.input_size);
  double mean_square = 0;
  for (const double sum : shifted_sum_) mean_square += sum * sum / rows;
  AutoencoderStatistics result;
  result.rows = rows_;
  result.active_rows = active_rows_;
  result.mean_l0 =
      static_cast<double>(std::accumulate(active_rows_.begin(), active_rows_.end(), int64_t{0})) /
      rows;
  result.mse = squared_error_ / (rows * n);
  result.variance = std::max(shifted_square_ - mean_square, 0.0) / (rows * n);
  result.explained_variance = result.variance > 0 ? 1 - result.mse / result.variance
                                                  : std::numeric_limits<double>::quiet_NaN();
  if (!std::isfinite(result.mse) || !std::isfinite(result.variance)) {
    throw Error(fmt::format(
        "autoencoder evaluation: mean squared error {} and variance {}, expected finite numbers: "
        "the activations contain infinities or NaN",
        result.mse, result.variance));
  }
  return result;
}

AutoencoderStatistics evaluate_autoencoder(const Autoencoder& autoencoder, ActivationSource& source,
                                           int64_t batches) {
  FEATFLOW_CHECK(source.width() == autoencoder.input_size, "activations of another width");
  AutoencoderEvaluator evaluator(autoencoder);
  std::vector<float> x;
  for (int64_t step = 0; step < batches; ++step) {
    throw_if_interrupted();
    const int64_t rows = source.batch(step, x);
    evaluator.add(std::span(x).first(static_cast<size_t>(rows * source.width())), rows);
  }
  return evaluator.result();
}

}  // namespace featflow
