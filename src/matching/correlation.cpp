#include "matching/correlation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/parallel.hpp"
#include "core/process.hpp"
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

/// Features [first, end).
struct FeatureBlock {
  int64_t first = 0, end = 0;
};

/// Consecutive blocks of features whose entries take at most `bytes`, or of one feature.
std::vector<FeatureBlock> blocks_within(const std::vector<int64_t>& active_tokens, int64_t bytes) {
  std::vector<FeatureBlock> blocks;
  for (int64_t first = 0; first < std::ssize(active_tokens); first = blocks.back().end) {
    blocks.push_back({first, transposable_end(active_tokens, first, bytes)});
  }
  return blocks;
}

int64_t entry_bytes(const FeatureStatistics& statistics) {
  return kBytesPerColumnEntry * std::accumulate(statistics.active_tokens.begin(),
                                                statistics.active_tokens.end(), int64_t{0});
}

struct BlockPlan {
  std::vector<FeatureBlock> a, b;
};

/// The fewest passes are made by blocks of A and of B of about the same size. Less than an eighth
/// of all entries would make hundreds of them: then that is what the blocks take.
BlockPlan plan_blocks(const FeatureStatistics& a, const FeatureStatistics& b, int64_t fixed_bytes,
                      const CorrelationOptions& options) {
  const int64_t of_a = entry_bytes(a), of_both = of_a + entry_bytes(b), least = of_both / 8;
  int64_t bytes = options.memory_bytes - fixed_bytes;
  if (bytes < least) {
    log_warning(fmt::format("{}: {} of memory are too little for these activations; {} are used",
                            options.progress_label, human_bytes(options.memory_bytes),
                            human_bytes(fixed_bytes + least)));
    bytes = least;
  }
  const int64_t of_b = std::min(of_both - of_a, std::max(bytes / 2, bytes - of_a));
  return {blocks_within(a.active_tokens, bytes - of_b), blocks_within(b.active_tokens, of_b)};
}

/// Those of the features asked for; NaN for the others, which then have no correlation.
std::vector<double> inverse_deviations(const FeatureStatistics& statistics,
                                       std::span<const uint8_t> features) {
  FEATFLOW_CHECK(features.empty() || std::ssize(features) == statistics.feature_count(),
                 "one mask entry per feature");
  std::vector<double> inverse = inverse_deviations(statistics);
  for (size_t j = 0; j < features.size(); ++j) {
    if (features[j] == 0) inverse[j] = std::numeric_limits<double>::quiet_NaN();
  }
  return inverse;
}

class Correlator {
 public:
  Correlator(const FeatureStatistics& a_statistics, const FeatureStatistics& b_statistics,
             const CorrelationOptions& options)
      : a_statistics_(a_statistics),
        b_statistics_(b_statistics),
        a_inverse_(inverse_deviations(a_statistics, options.features_a)),
        b_inverse_(inverse_deviations(b_statistics, options.features_b)),
        floor_(options.floor),
        workers_(thread_count(), Worker(b_statistics.feature_count())),
        pairs_(a_statistics.feature_count()),
        best_of_a_(a_statistics.feature_count(), FeaturePair{-1, -1, kNoCorrelation}) {}

  /// One row of the matrix, as far as `b` goes; its blocks come in order.
  void add_feature(int64_t feature, const Column& column, const PackedRows& b, int worker_index) {
    if (std::isnan(a_inverse_[feature])) return;
    Worker& worker = workers_[worker_index];
    const int64_t first = b.first_feature(), count = b.feature_count();
    double* products = worker.products.data() + first;
    std::fill_n(products, count, 0.0);
    add_products(column, b, {products, static_cast<size_t>(count)});

    for (int64_t j = first; j < first + count; ++j) {
      worker.correlations[j] = static_cast<float>(
          pearson(a_statistics_.row_count, worker.products[j], a_statistics_.mass[feature],
                  b_statistics_.mass[j], a_inverse_[feature], b_inverse_[j]));
    }
    FeaturePair& best = best_of_a_[feature];
    for (int64_t j = first; j < first + count; ++j) {
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
    for (int64_t j = 0; j < b_statistics_.feature_count(); ++j) {
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
  const FeatureStatistics& a_statistics_;
  const FeatureStatistics& b_statistics_;
  std::vector<double> a_inverse_, b_inverse_;
  double floor_;
  std::vector<Worker> workers_;
  std::vector<std::vector<FeaturePair>> pairs_;  // [m_A]
  std::vector<FeaturePair> best_of_a_;           // [m_A]
};

PackedRows pack(const ActivationShards& shards, const FeatureBlock& block,
                const FeatureStatistics& statistics, RowMask mask) {
  const auto counts = std::span(statistics.active_tokens);
  PackedRows packed(
      block.first, block.end, shards.rows(),
      std::accumulate(counts.begin() + block.first, counts.begin() + block.end, int64_t{0}));
  shards.for_each([&](const FeatureActivations& shard, int64_t first_row) {
    packed.append(shard.rows, rows_of_mask(mask, first_row, shard.rows.rows()));
  });
  return packed;
}

std::vector<uint8_t> counted_rows(const ActivationShards& b, const CorrelationOptions& options) {
  std::vector<uint8_t> mask;
  if (!options.corpora.empty()) mask = rows_of_corpora(b, options.corpora);
  if (!options.rows.empty()) {
    FEATFLOW_CHECK(std::ssize(options.rows) == b.rows(), "one mask entry per row");
    if (mask.empty()) mask.assign(options.rows.size(), 1);
    for (size_t row = 0; row < mask.size(); ++row) mask[row] &= options.rows[row] != 0;
  }
  return mask;
}

}  // namespace

Matches correlate(const FeatureActivations& a, const FeatureActivations& b,
                  const CorrelationOptions& options) {
  return correlate(ActivationShards(a), ActivationShards(b), options);
}

Matches correlate(const ActivationShards& a, const ActivationShards& b,
                  const CorrelationOptions& options) {
  require_same_rows(a, b);
  FEATFLOW_CHECK(-1 <= options.floor && options.floor <= 1, "floor of a correlation");
  const std::vector<uint8_t> mask = counted_rows(b, options);
  const auto [a_statistics, b_statistics] = statistics_of_both(
      a, b, mask, /*at_once=*/a.working_bytes() + b.working_bytes() <= options.memory_bytes);
  // What shards took is freed in pieces that no block of features would fill.
  const auto give_back = [of_files = a.whole() == nullptr || b.whole() == nullptr] {
    if (of_files) release_free_memory();
  };
  give_back();

  const int64_t m_b = b.feature_count();
  const int64_t rows_of_matrix =
      thread_count() * m_b *
      static_cast<int64_t>(sizeof(double) + sizeof(float) + sizeof(FeaturePair));
  const int64_t offsets = (b.rows() + 1) * static_cast<int64_t>(sizeof(int64_t));
  const int64_t reading = std::max(a.working_bytes(), b.working_bytes());
  const BlockPlan plan =
      plan_blocks(a_statistics, b_statistics, rows_of_matrix + offsets + reading, options);

  Correlator correlator(a_statistics, b_statistics, options);
  Progress progress(options.progress_label, a.feature_count() * std::ssize(plan.b), "features");
  int64_t done = 0;
  FeatureColumns columns;
  for (const FeatureBlock& b_block : plan.b) {
    const PackedRows packed = pack(b, b_block, b_statistics, mask);
    give_back();
    for (const FeatureBlock& a_block : plan.a) {
      if (columns.row_count == 0 || plan.a.size() > 1) {
        columns = {};  // before the next one is made
        columns =
            transpose(a, a_statistics.active_tokens,
                      {.first_feature = a_block.first, .end_feature = a_block.end, .mask = mask});
        give_back();
      }
      for (int64_t first = a_block.first; first < a_block.end; first += kFeaturesPerStep) {
        throw_if_interrupted();
        const int64_t count = std::min(kFeaturesPerStep, a_block.end - first);
        parallel_for(count, 4, [&](int64_t begin, int64_t last, int worker) {
          for (int64_t j = first + begin; j < first + last; ++j) {
            correlator.add_feature(j, columns.column(j), packed, worker);
          }
        });
        progress.update(done += count);
      }
    }
  }

  Matches matches;
  matches.a = {a.about().model, a_statistics.active_tokens, a_statistics.active_documents};
  matches.b = {b.about().model, b_statistics.active_tokens, b_statistics.active_documents};
  matches.corpus = a.about().corpus;
  matches.corpora = options.corpora;
  matches.row_count = a_statistics.row_count;
  matches.floor = options.floor;
  correlator.finish(matches);
  return matches;
}

}  // namespace featflow
