#include "checkpoint/document_scores.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.hpp"

namespace featflow {

namespace {

template <typename T>
T sum(const std::vector<T>& values) {
  return std::accumulate(values.begin(), values.end(), T{0});
}

double ratio(double numerator, int64_t count) {
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  return numerator / static_cast<double>(count);
}

}  // namespace

int64_t DocumentScores::total_predicted() const { return sum(predicted); }

double DocumentScores::accuracy() const {
  return ratio(static_cast<double>(sum(correct)), total_predicted());
}

double DocumentScores::mean_loss() const { return ratio(sum(loss), total_predicted()); }

double DocumentScores::perplexity() const { return std::exp(mean_loss()); }

void DocumentScores::append(const DocumentScores& more) {
  predicted.insert(predicted.end(), more.predicted.begin(), more.predicted.end());
  correct.insert(correct.end(), more.correct.begin(), more.correct.end());
  loss.insert(loss.end(), more.loss.begin(), more.loss.end());
}

DocumentScores DocumentScores::half(int which) const {
  FEATFLOW_CHECK(which == 0 || which == 1, "there are two halves");
  FEATFLOW_CHECK(correct.size() == predicted.size() && loss.size() == predicted.size(),
                 "scores of different numbers of documents");
  DocumentScores half;
  for (size_t i = static_cast<size_t>(which); i < predicted.size(); i += 2) {
    half.predicted.push_back(predicted[i]);
    half.correct.push_back(correct[i]);
    half.loss.push_back(loss[i]);
  }
  return half;
}

}  // namespace featflow
