#include "autoencoder/planted.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autoencoder/kernels.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {

PlantedTruths::PlantedTruths(const PlantedOptions& o) : options(o) {
  const int64_t ordinary = o.truths - o.rare - o.duplicates;
  FEATFLOW_CHECK(ordinary >= 1 && o.duplicates <= ordinary && o.domains >= 1,
                 "more rare and duplicate truths than there can be");
  Rng rng(o.seed, "planted truths");
  directions.resize(static_cast<size_t>(o.truths * o.width));
  for (int64_t k = 0; k < o.truths; ++k) {
    float* direction = directions.data() + k * o.width;
    for (int64_t i = 0; i < o.width; ++i) direction[i] = static_cast<float>(rng.normal());
    multiply(1 / std::sqrt(dot(direction, direction, o.width)), direction, o.width);
  }

  frequencies.assign(static_cast<size_t>(o.truths), 1);  // of duplicates, given their leader
  leaders.assign(static_cast<size_t>(o.truths), -1);
  domains.assign(static_cast<size_t>(o.truths), -1);
  double zipf_sum = 0;
  for (int64_t k = 0; k < ordinary; ++k) {
    zipf_sum += std::pow(static_cast<double>(k + 1), -o.zipf_exponent);
  }
  for (int64_t k = 0; k < ordinary; ++k) {
    const double zipf = std::pow(static_cast<double>(k + 1), -o.zipf_exponent) / zipf_sum;
    frequencies[static_cast<size_t>(k)] = std::min(o.mean_active * zipf, 0.5);
  }
  const auto paired = static_cast<int64_t>(o.correlated_share * static_cast<double>(ordinary));
  for (int64_t k = 0; k + 1 < paired; k += 2) {
    leaders[static_cast<size_t>(k) + 1] = static_cast<int32_t>(k);
    frequencies[static_cast<size_t>(k) + 1] = o.correlation;
  }
  // Domain-only truths from the end, where no pairs are (unless all are paired).
  const auto domain_only =
      static_cast<int64_t>(o.domain_only_share * static_cast<double>(ordinary));
  for (int64_t k = std::max(ordinary - domain_only, paired); k < ordinary; ++k) {
    domains[static_cast<size_t>(k)] = static_cast<int32_t>(k % o.domains);
  }
  for (int64_t k = 0; k < o.rare; ++k) {
    frequencies[static_cast<size_t>(ordinary + k)] = o.rare_frequency;
  }
  for (int64_t k = 0; k < o.duplicates; ++k) {
    leaders[static_cast<size_t>(ordinary + o.rare + k)] = static_cast<int32_t>(k);
  }
}

PlantedSource::PlantedSource(std::shared_ptr<const PlantedTruths> truths, const Rows& rows,
                             std::vector<int32_t> present)
    : truths_(std::move(truths)), rows_(rows), present_(std::move(present)) {
  if (present_.empty()) {
    present_.resize(static_cast<size_t>(truths_->count()));
    std::iota(present_.begin(), present_.end(), 0);
  }
  FEATFLOW_CHECK(std::ranges::is_sorted(present_), "present truths must be ascending");
}

int32_t PlantedSource::document(int64_t row) const {
  return static_cast<int32_t>(row / truths_->options.document_rows);
}

int32_t PlantedSource::domain(int64_t row) const {
  return static_cast<int32_t>(document(row) % truths_->options.domains);
}

SparseRows PlantedSource::true_activations(int64_t step) const {
  // Every truth is drawn, present or not: models of a family agree on what happens in a row.
  Rng rng(rows_.seed, fmt::format("planted rows {}", step));
  const auto count = static_cast<size_t>(truths_->count());
  std::vector<float> strengths(count);
  SparseRows result;
  result.feature_count = truths_->count();
  for (int64_t t = 0; t < rows_.batch_rows; ++t) {
    const int32_t row_domain = domain(step * rows_.batch_rows + t);
    for (size_t k = 0; k < count; ++k) {
      const double chance = rng.uniform(), strength = 0.5 + rng.uniform();
      const int32_t leader = truths_->leaders[k], only = truths_->domains[k];
      const bool possible = (leader < 0 || strengths[static_cast<size_t>(leader)] > 0) &&
                            (only < 0 || only == row_domain);
      strengths[k] =
          possible && chance < truths_->frequencies[k] ? static_cast<float>(strength) : 0;
    }
    for (const int32_t k : present_) {
      if (strengths[static_cast<size_t>(k)] > 0) {
        result.features.push_back(k);
        result.values.push_back(strengths[static_cast<size_t>(k)]);
      }
    }
    result.row_offsets.push_back(result.active());
  }
  return result;
}

int64_t PlantedSource::batch(int64_t step, std::vector<float>& rows) {
  const int64_t n = width();
  const SparseRows z = true_activations(step);
  Rng noise(rows_.noise_seed, fmt::format("planted noise {}", step));
  rows.assign(static_cast<size_t>(rows_.batch_rows * n), 0);
  for (int64_t t = 0; t < rows_.batch_rows; ++t) {
    float* row = rows.data() + t * n;
    if (rows_.noise > 0) {
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(rows_.noise * noise.normal());
    }
    for (auto e = static_cast<size_t>(z.row_offsets[static_cast<size_t>(t)]);
         e < static_cast<size_t>(z.row_offsets[static_cast<size_t>(t) + 1]); ++e) {
      add_scaled(z.values[e], truths_->directions.data() + z.features[e] * n, row, n);
    }
  }
  return rows_.batch_rows;
}

double PlantedRecovery::share_above(double cosine) const {
  return static_cast<double>(
             std::ranges::count_if(best_cosine, [&](double best) { return best > cosine; })) /
         static_cast<double>(best_cosine.size());
}

PlantedRecovery planted_recovery(const Autoencoder& autoencoder, const PlantedTruths& truths,
                                 const std::vector<int32_t>& present) {
  const int64_t n = autoencoder.input_size;
  FEATFLOW_CHECK(n == truths.options.width, "truths of another width");
  PlantedRecovery recovery;
  for (const int32_t k : present) {
    float best = -1;
    for (int64_t j = 0; j < autoencoder.feature_count; ++j) {
      best = std::max(best, dot(autoencoder.decoder_weight.data() + j * n,
                                truths.directions.data() + k * n, n));
    }
    recovery.best_cosine.push_back(static_cast<double>(best));
    recovery.mean_max_cosine += static_cast<double>(best) / static_cast<double>(present.size());
  }
  return recovery;
}

}  // namespace featflow
