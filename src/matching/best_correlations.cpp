#include "matching/best_correlations.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/progress.hpp"

namespace featflow {
namespace {

// Features between two looks at the progress bar and at Ctrl-C.
constexpr int64_t kFeaturesPerStep = 512;
constexpr float kNoCorrelation = -2;

/// The measurable features of one side that have a variance, numbered anew without gaps.
struct Candidates {
  std::vector<int32_t> features;      // [candidates]
  std::vector<int32_t> slots;         // [m] position in `features`; of all others: candidates
  std::vector<double> sums, inverse;  // [candidates] Σf, 1 / deviation

  Candidates(const FeatureStatistics& statistics, const std::vector<uint8_t>& usable) {
    const std::vector<double> all_inverse = inverse_deviations(statistics);
    for (size_t j = 0; j < usable.size(); ++j) {
      if (usable[j] == 0 || std::isnan(all_inverse[j])) continue;
      features.push_back(static_cast<int32_t>(j));
      sums.push_back(statistics.mass[j]);
      inverse.push_back(all_inverse[j]);
    }
    slots.assign(usable.size(), static_cast<int32_t>(features.size()));
    for (size_t slot = 0; slot < features.size(); ++slot) {
      slots[static_cast<size_t>(features[slot])] = static_cast<int32_t>(slot);
    }
  }

  int64_t count() const { return std::ssize(features); }
};

/// One worker's row of the matrix, and the best it has seen for each candidate of B.
struct Worker {
  std::vector<double> products;     // [candidates of B + 1]: the last is of all other features
  std::vector<float> correlations;  // [candidates of B]
  std::vector<float> best_of_b;     // [candidates of B]
  std::vector<int32_t> rows;        // where the rows of the feature of A went

  explicit Worker(int64_t candidates)
      : products(static_cast<size_t>(candidates + 1)),
        correlations(static_cast<size_t>(candidates)),
        best_of_b(static_cast<size_t>(candidates), kNoCorrelation) {}
};

/// Several maxima side by side: one alone would wait for itself, and would not vectorise.
float maximum(const std::vector<float>& values) {
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> lanes;
  lanes.fill(kNoCorrelation);
  size_t j = 0;
  for (; j + kLanes <= values.size(); j += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = std::max(lanes[lane], values[j + lane]);
    }
  }
  for (; j < values.size(); ++j) lanes[0] = std::max(lanes[0], values[j]);
  return std::ranges::max(lanes);
}

/// One row of the matrix: feature `slot` of A, whose rows went to `rows`, against all of B.
float best_of_row(const Column& column, const Candidates& a, int64_t slot, const PackedRows& packed,
                  const Candidates& b, int64_t row_count, Worker& worker) {
  std::ranges::fill(worker.products, 0.0);
  add_products(column, packed, worker.products);

  const double sum_a = a.sums[static_cast<size_t>(slot)];
  const double inverse_a = a.inverse[static_cast<size_t>(slot)];
  const double* products = worker.products.data();
  float* r = worker.correlations.data();
  float* best_of_b = worker.best_of_b.data();
  for (size_t j = 0; j < b.features.size(); ++j) {
    r[j] = static_cast<float>(
        pearson(row_count, products[j], sum_a, b.sums[j], inverse_a, b.inverse[j]));
  }
  for (size_t j = 0; j < b.features.size(); ++j) best_of_b[j] = std::max(best_of_b[j], r[j]);
  return maximum(worker.correlations);
}

/// Inverse of a permutation: the row that each row of A goes to.
std::vector<int32_t> destinations(const std::vector<int32_t>& order, int64_t rows) {
  FEATFLOW_CHECK(std::ssize(order) == rows, "row_order permutes all rows of A");
  std::vector<int32_t> destination(order.size());
  for (size_t row = 0; row < order.size(); ++row) {
    destination[static_cast<size_t>(order[row])] = static_cast<int32_t>(row);
  }
  return destination;
}

/// Puts the best of candidates, [candidates] → [m], among those of one run.
void raise_best(const std::vector<float>& best, const std::vector<int32_t>& features, int64_t run,
                BestOfSide& side) {
  float* const of_run = side.best.data() + run * std::ssize(side.measurable);
  for (size_t slot = 0; slot < features.size(); ++slot) {
    float& so_far = of_run[features[slot]];
    if (best[slot] > kNoCorrelation && !(so_far >= best[slot])) so_far = best[slot];
  }
}

BestOfSide empty_side(const FeatureStatistics& statistics, const MeasurableLimits& limits,
                      int64_t runs) {
  return {statistics.active_tokens, measurable(statistics, limits),
          std::vector<float>(static_cast<size_t>(runs * statistics.feature_count()),
                             std::numeric_limits<float>::quiet_NaN())};
}

}  // namespace

BestCorrelations best_correlations(const FeatureActivations& a, const FeatureActivations& b,
                                   const BestCorrelationOptions& options, int64_t runs,
                                   const RowOrderOfRun& row_order) {
  require_same_rows(a, b);
  FEATFLOW_CHECK(runs >= 0, "runs");
  std::vector<uint8_t> mask;
  if (!options.corpora.empty()) mask = rows_of_corpora(b, options.corpora);
  const auto [a_statistics, b_statistics] =
      statistics_of_both(ActivationShards(a), ActivationShards(b), mask);

  BestCorrelations result{a_statistics.row_count, runs,
                          empty_side(a_statistics, options.limits, runs),
                          empty_side(b_statistics, options.limits, runs)};
  const Candidates of_a(a_statistics, result.a.measurable);
  const Candidates of_b(b_statistics, result.b.measurable);
  const PackedRows packed(b.rows, of_b.slots, of_b.count() + 1);
  std::vector<Worker> workers(static_cast<size_t>(thread_count()), Worker(of_b.count()));
  const int64_t rows_of_matrix =
      std::ssize(workers) * of_b.count() * static_cast<int64_t>(sizeof(double) + 2 * sizeof(float));
  const int64_t transposed_bytes =
      std::max(options.memory_bytes - rows_of_matrix - PackedRows::bytes(b.rows.active()),
               kBytesPerColumnEntry * a.rows.active() / 8);

  Progress progress(options.progress_label, runs * a.rows.feature_count, "features");
  int64_t done = 0;
  for (int64_t first = 0, end = 0; first < a.rows.feature_count; first = end) {
    end = transposable_end(a_statistics.active_tokens, first, transposed_bytes);
    const FeatureColumns columns =
        transpose(a.rows, {.first_feature = first, .end_feature = end, .mask = mask});
    const auto slot_of = [&](int64_t feature) {
      return std::ranges::lower_bound(of_a.features, feature) - of_a.features.begin();
    };
    const int64_t first_slot = slot_of(first), end_slot = slot_of(end);
    std::vector<float> best_of_a(of_a.features.size(), kNoCorrelation);
    for (int64_t run = 0; run < runs; ++run) {
      const std::vector<int32_t> destination =
          row_order ? destinations(row_order(run), a.rows.rows()) : std::vector<int32_t>();
      for (int64_t step = first_slot; step < end_slot; step += kFeaturesPerStep) {
        throw_if_interrupted();
        const int64_t count = std::min(kFeaturesPerStep, end_slot - step);
        parallel_for(count, 4, [&](int64_t begin, int64_t last, int worker_index) {
          Worker& worker = workers[static_cast<size_t>(worker_index)];
          for (int64_t slot = step + begin; slot < step + last; ++slot) {
            Column column = columns.column(of_a.features[static_cast<size_t>(slot)]);
            if (!destination.empty()) {
              worker.rows.resize(column.rows.size());
              std::ranges::transform(column.rows, worker.rows.begin(), [&](int32_t row) {
                return destination[static_cast<size_t>(row)];
              });
              column.rows = worker.rows;
            }
            best_of_a[static_cast<size_t>(slot)] =
                best_of_row(column, of_a, slot, packed, of_b, result.rows, worker);
          }
        });
        progress.update(done + step - first_slot);
      }
      progress.update(done += end - first);
      raise_best(best_of_a, of_a.features, run, result.a);
      for (Worker& worker : workers) {
        raise_best(worker.best_of_b, of_b.features, run, result.b);
        std::ranges::fill(worker.best_of_b, kNoCorrelation);
      }
    }
  }
  return result;
}

}  // namespace featflow
