#include "matching/correlation.hpp"

#include <fmt/format.h>

#include <algorithm>
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

/// One worker's row of the matrix, and the best partner it has seen for each feature of B.
struct Worker {
  std::vector<double> products;     // [m_B]
  std::vector<float> correlations;  // [m_B]
  std::vector<FeaturePair> best_of_b;

  explicit Worker(int64_t m_b) : products(m_b), correlations(m_b) {
    for (int64_t j = 0; j < m_b; ++j) {
      best_of_b.push_back({-1, static_cast<int32_t>(j), kNoCorrelation});
    }
  }
};

/// A total order, so the winner does not depend on which worker saw which pair.
bool better_a(const FeaturePair& x, const FeaturePair& y) {
  if (x.correlation != y.correlation) return x.correlation > y.correlation;
  return x.feature_a < y.feature_a;
}

class Correlator {
 public:
  Correlator(const FeatureActivations& b, const FeatureStatistics& a_statistics,
             const FeatureStatistics& b_statistics, double floor)
      : b_(b.rows),
        m_b_(b.rows.feature_count),
        a_statistics_(a_statistics),
        b_statistics_(b_statistics),
        a_inverse_(inverse_deviations(a_statistics)),
        b_inverse_(inverse_deviations(b_statistics)),
        floor_(floor),
        workers_(thread_count(), Worker(b.rows.feature_count)),
        pairs_(a_statistics.feature_count()),
        best_of_a_(a_statistics.feature_count(), FeaturePair{-1, -1, kNoCorrelation}) {}

  /// One row of the matrix: feature `feature` of A against all of B.
  void add_feature(int64_t feature, const Column& column, int worker_index) {
    if (std::isnan(a_inverse_[feature])) return;
    Worker& worker = workers_[worker_index];
    std::fill(worker.products.begin(), worker.products.end(), 0.0);
    add_products(column, b_, worker.products);

    for (int64_t j = 0; j < m_b_; ++j) {
      worker.correlations[j] = static_cast<float>(
          pearson(a_statistics_.row_count, worker.products[j], a_statistics_.mass[feature],
                  b_statistics_.mass[j], a_inverse_[feature], b_inverse_[j]));
    }
    FeaturePair& best = best_of_a_[feature];
    for (int64_t j = 0; j < m_b_; ++j) {
      const FeaturePair pair{static_cast<int32_t>(feature), static_cast<int32_t>(j),
                             worker.correlations[j]};
      // All three comparisons are false for the NaN of a feature without variance.
      if (pair.correlation >= floor_) pairs_[feature].push_back(pair);
      if (pair.correlation > best.correlation) best = pair;
      if (pair.correlation >= worker.best_of_b[j].correlation &&
          better_a(pair, worker.best_of_b[j])) {
        worker.best_of_b[j] = pair;
      }
    }
  }

  void finish(Matches& matches) {
    for (std::vector<FeaturePair>& row : pairs_) {
      matches.pairs.insert(matches.pairs.end(), row.begin(), row.end());
      row = {};
    }
    for (const FeaturePair& best : best_of_a_) {
      if (best.feature_b >= 0) matches.best_of_a.push_back(best);
    }
    for (int64_t j = 0; j < m_b_; ++j) {
      FeaturePair best = workers_[0].best_of_b[j];
      for (const Worker& worker : workers_) {
        const FeaturePair& candidate = worker.best_of_b[j];
        if (candidate.feature_a >= 0 && (best.feature_a < 0 || better_a(candidate, best))) {
          best = candidate;
        }
      }
      if (best.feature_a >= 0) matches.best_of_b.push_back(best);
    }
  }

 private:
  PackedRows b_;
  int64_t m_b_;
  const FeatureStatistics& a_statistics_;
  const FeatureStatistics& b_statistics_;
  std::vector<double> a_inverse_, b_inverse_;
  double floor_;
  std::vector<Worker> workers_;
  std::vector<std::vector<FeaturePair>> pairs_;  // [m_A]
  std::vector<FeaturePair> best_of_a_;           // [m_A]
};

}  // namespace

Matches correlate(const FeatureActivations& a, const FeatureActivations& b,
                  const CorrelationOptions& options) {
  require_same_rows(a, b);
  FEATFLOW_CHECK(-1 <= options.floor && options.floor <= 1, "floor of a correlation");
  FEATFLOW_CHECK(options.row_order.empty() || std::ssize(options.row_order) == a.rows.rows(),
                 "row_order permutes all rows of A");
  std::vector<uint8_t> mask;
  if (!options.corpora.empty()) mask = rows_of_corpora(b, options.corpora);
  if (!options.rows.empty()) {
    FEATFLOW_CHECK(std::ssize(options.rows) == a.rows.rows(), "one mask entry per row");
    if (mask.empty()) mask.assign(options.rows.size(), 1);
    for (size_t row = 0; row < mask.size(); ++row) mask[row] &= options.rows[row] != 0;
  }

  // Permutations stay within a corpus, so A's own statistics hold for its permuted rows too.
  FeatureStatistics a_statistics, b_statistics;
  parallel_for(2, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t side = begin; side < end; ++side) {
      (side == 0 ? a_statistics : b_statistics) = feature_statistics(side == 0 ? a : b, mask);
    }
  });

  Correlator correlator(b, a_statistics, b_statistics, options.floor);
  Progress progress(options.progress_label, a.rows.feature_count, "features");
  const int64_t threads = thread_count();
  const int64_t rows_of_matrix =
      threads * b.rows.feature_count *
      static_cast<int64_t>(sizeof(double) + sizeof(float) + sizeof(FeaturePair));
  const int64_t transposed_bytes =
      options.memory_bytes - rows_of_matrix - PackedRows::bytes(b.rows);
  for (int64_t first = 0; first < a.rows.feature_count;) {
    const int64_t end = transposable_end(a_statistics.active_tokens, first, transposed_bytes);
    const FeatureColumns columns = transpose(
        a.rows,
        {.first_feature = first, .end_feature = end, .mask = mask, .row_order = options.row_order});
    for (; first < end; first = std::min(first + kFeaturesPerStep, end)) {
      throw_if_interrupted();
      const int64_t count = std::min(kFeaturesPerStep, end - first);
      parallel_for(count, 4, [&](int64_t begin, int64_t last, int worker) {
        for (int64_t j = first + begin; j < first + last; ++j) {
          correlator.add_feature(j, columns.column(j), worker);
        }
      });
      progress.update(first + count);
    }
  }

  Matches matches;
  matches.a = {a.model, a_statistics.active_tokens, a_statistics.active_documents};
  matches.b = {b.model, b_statistics.active_tokens, b_statistics.active_documents};
  matches.corpus = a.corpus;
  matches.corpora = options.corpora;
  matches.row_count = a_statistics.row_count;
  matches.floor = options.floor;
  correlator.finish(matches);
  return matches;
}

}  // namespace featflow
