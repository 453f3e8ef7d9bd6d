#include "features/statistics.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {

double FeatureStatistics::density(int64_t feature) const {
  if (row_count == 0) return 0;
  return static_cast<double>(active_tokens[feature]) / static_cast<double>(row_count);
}

double FeatureStatistics::mean_active(int64_t feature) const {
  if (active_tokens[feature] == 0) return 0;
  return mass[feature] / static_cast<double>(active_tokens[feature]);
}

namespace {

/// The sums of one feature side by side: an activation touches one line of cache.
struct Sums {
  double mass = 0, squares = 0;
  int64_t tokens = 0, documents = 0;
  float minimum = 0, maximum = 0;
  int32_t last_document = -1;
};

class StatisticsPass {
 public:
  explicit StatisticsPass(const FeatureActivations& about)
      : m_(about.rows.feature_count), sums_(m_) {
    result_.corpus_names = about.corpus_names;
  }

  void add(const FeatureActivations& part, RowMask mask) {
    const SparseRows& rows = part.rows;
    const int64_t n = rows.rows();
    has_documents_ = !part.documents.empty();
    has_corpora_ = !part.corpora.empty();
    FEATFLOW_CHECK(mask.empty() || std::ssize(mask) == n, "one mask entry per row");
    FEATFLOW_CHECK(!has_documents_ || std::ssize(part.documents) == n, "a document per row");
    FEATFLOW_CHECK(!has_corpora_ || std::ssize(part.corpora) == n, "a corpus per row");
    if (has_corpora_ && result_.corpus_rows.empty()) {
      result_.corpus_rows.assign(result_.corpus_names.size(), 0);
      result_.corpus_active.assign(result_.corpus_names.size() * m_, 0);
      result_.corpus_mass.assign(result_.corpus_names.size() * m_, 0);
    }
    for (int64_t row = 0; row < n; ++row) {
      if (!mask.empty() && mask[row] == 0) continue;
      ++result_.row_count;
      const size_t corpus = has_corpora_ ? part.corpora[row] : 0;
      if (has_corpora_) {
        FEATFLOW_CHECK(corpus < result_.corpus_names.size(), "corpus of a row");
        ++result_.corpus_rows[corpus];
      }
      for (int64_t e = rows.row_offsets[row]; e < rows.row_offsets[row + 1]; ++e) {
        const int64_t j = rows.features[e];
        const float f = rows.values[e];
        Sums& sums = sums_[j];
        if (sums.tokens++ == 0) sums.minimum = f;
        sums.minimum = std::min(sums.minimum, f);
        sums.maximum = std::max(sums.maximum, f);
        sums.mass += f;
        sums.squares += static_cast<double>(f) * f;
        if (has_documents_ && sums.last_document != part.documents[row]) {
          sums.last_document = part.documents[row];
          ++sums.documents;
        }
        if (has_corpora_) {
          ++result_.corpus_active[corpus * m_ + j];
          result_.corpus_mass[corpus * m_ + j] += f;
        }
      }
    }
  }

  FeatureStatistics finish() {
    if (!has_corpora_) result_.corpus_names.clear();
    for (const Sums& sums : sums_) {
      result_.active_tokens.push_back(sums.tokens);
      if (has_documents_) result_.active_documents.push_back(sums.documents);
      result_.mass.push_back(sums.mass);
      result_.sum_of_squares.push_back(sums.squares);
      result_.minimum.push_back(sums.minimum);
      result_.maximum.push_back(sums.maximum);
    }
    return std::move(result_);
  }

 private:
  int64_t m_;
  std::vector<Sums> sums_;  // [m]
  bool has_documents_ = false, has_corpora_ = false;
  FeatureStatistics result_;
};

}  // namespace

FeatureStatistics feature_statistics(const FeatureActivations& activations, RowMask mask) {
  StatisticsPass pass(activations);
  pass.add(activations, mask);
  return pass.finish();
}

FeatureStatistics feature_statistics(const ActivationShards& shards, RowMask mask) {
  FEATFLOW_CHECK(mask.empty() || std::ssize(mask) == shards.rows(), "one mask entry per row");
  StatisticsPass pass(shards.about());
  shards.for_each([&](const FeatureActivations& shard, int64_t first_row) {
    pass.add(shard, rows_of_mask(mask, first_row, shard.rows.rows()));
  });
  return pass.finish();
}

std::pair<FeatureStatistics, FeatureStatistics> statistics_of_both(const ActivationShards& a,
                                                                   const ActivationShards& b,
                                                                   RowMask mask, bool at_once) {
  if (!at_once) return {feature_statistics(a, mask), feature_statistics(b, mask)};
  std::pair<FeatureStatistics, FeatureStatistics> both;
  parallel_for(2, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t side = begin; side < end; ++side) {
      (side == 0 ? both.first : both.second) = feature_statistics(side == 0 ? a : b, mask);
    }
  });
  return both;
}

std::vector<uint8_t> measurable(const std::vector<int64_t>& active_tokens,
                                const std::vector<int64_t>& active_documents,
                                const MeasurableLimits& limits) {
  std::vector<uint8_t> result(active_tokens.size());
  for (size_t j = 0; j < result.size(); ++j) {
    result[j] = active_tokens[j] > 0 && active_tokens[j] >= limits.min_tokens &&
                (active_documents.empty() || active_documents[j] >= limits.min_documents);
  }
  return result;
}

std::vector<uint8_t> measurable(const FeatureStatistics& statistics,
                                const MeasurableLimits& limits) {
  return measurable(statistics.active_tokens, statistics.active_documents, limits);
}

}  // namespace featflow
