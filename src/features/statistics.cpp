#include "features/statistics.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace featflow {

double FeatureStatistics::density(int64_t feature) const {
  if (row_count == 0) return 0;
  return static_cast<double>(active_tokens[feature]) / static_cast<double>(row_count);
}

double FeatureStatistics::mean_active(int64_t feature) const {
  if (active_tokens[feature] == 0) return 0;
  return mass[feature] / static_cast<double>(active_tokens[feature]);
}

FeatureStatistics feature_statistics(const FeatureActivations& activations, RowMask mask) {
  const SparseRows& rows = activations.rows;
  const int64_t n = rows.rows();
  const int64_t m = rows.feature_count;
  const bool has_documents = !activations.documents.empty();
  const bool has_corpora = !activations.corpora.empty();
  FEATFLOW_CHECK(mask.empty() || std::ssize(mask) == n, "one mask entry per row");
  FEATFLOW_CHECK(!has_documents || std::ssize(activations.documents) == n, "a document per row");
  FEATFLOW_CHECK(!has_corpora || std::ssize(activations.corpora) == n, "a corpus per row");

  FeatureStatistics result;
  result.active_tokens.assign(m, 0);
  if (has_documents) result.active_documents.assign(m, 0);
  result.mass.assign(m, 0);
  result.sum_of_squares.assign(m, 0);
  result.minimum.assign(m, 0);
  result.maximum.assign(m, 0);
  if (has_corpora) {
    result.corpus_names = activations.corpus_names;
    result.corpus_rows.assign(result.corpus_names.size(), 0);
    result.corpus_active.assign(result.corpus_names.size() * m, 0);
    result.corpus_mass.assign(result.corpus_names.size() * m, 0);
  }

  std::vector<int32_t> last_document(has_documents ? m : 0, -1);
  for (int64_t row = 0; row < n; ++row) {
    if (!mask.empty() && mask[row] == 0) continue;
    ++result.row_count;
    const size_t corpus = has_corpora ? activations.corpora[row] : 0;
    if (has_corpora) {
      FEATFLOW_CHECK(corpus < result.corpus_names.size(), "corpus of a row");
      ++result.corpus_rows[corpus];
    }
    for (int64_t e = rows.row_offsets[row]; e < rows.row_offsets[row + 1]; ++e) {
      const int64_t j = rows.features[e];
      const float f = rows.values[e];
      if (result.active_tokens[j]++ == 0) result.minimum[j] = f;
      result.minimum[j] = std::min(result.minimum[j], f);
      result.maximum[j] = std::max(result.maximum[j], f);
      result.mass[j] += f;
      result.sum_of_squares[j] += static_cast<double>(f) * f;
      if (has_documents && last_document[j] != activations.documents[row]) {
        last_document[j] = activations.documents[row];
        ++result.active_documents[j];
      }
      if (has_corpora) {
        ++result.corpus_active[corpus * m + j];
        result.corpus_mass[corpus * m + j] += f;
      }
    }
  }
  return result;
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
