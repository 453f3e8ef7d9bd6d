#include "matching/significance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<double, 6> kBounds = {0, 1e-5, 1e-4, 1e-3, 1e-2, 1};
constexpr size_t kStrata = kBounds.size() - 1;

/// Stratum of each feature [m].
std::vector<size_t> strata_of(const BestOfSide& side, int64_t rows) {
  std::vector<size_t> strata(side.measurable.size());
  for (size_t j = 0; j < strata.size(); ++j) {
    const double density = static_cast<double>(side.active_tokens[j]) /
                           static_cast<double>(std::max<int64_t>(rows, 1));
    const auto above = std::upper_bound(kBounds.begin() + 1, kBounds.end() - 1, density);
    strata[j] = static_cast<size_t>(above - kBounds.begin()) - 1;
  }
  return strata;
}

/// Null maxima of every stratum, ascending.
std::array<std::vector<float>, kStrata> pooled_maxima(const BestOfSide& null, int64_t runs,
                                                      const std::vector<size_t>& strata) {
  std::array<std::vector<float>, kStrata> maxima;
  const size_t m = strata.size();
  for (size_t run = 0; run < static_cast<size_t>(runs); ++run) {
    for (size_t j = 0; j < m; ++j) {
      const float best = null.best[run * m + j];
      if (!std::isnan(best)) maxima[strata[j]].push_back(best);
    }
  }
  for (std::vector<float>& stratum : maxima) std::ranges::sort(stratum);
  return maxima;
}

/// The largest null maximum of feature j alone; −1 if there is none.
float own_maximum(const BestOfSide& null, int64_t runs, size_t j) {
  float best = -1;
  for (size_t run = 0; run < static_cast<size_t>(runs); ++run) {
    best = std::fmax(best, null.best[run * null.measurable.size() + j]);  // not NaN
  }
  return best;
}

int64_t at_least(const std::vector<float>& ascending, double r) {
  return ascending.end() -
         std::ranges::lower_bound(ascending, r, {}, [](float x) { return double{x}; });
}

/// The smallest value with at least the share q of all at or below it.
std::optional<double> quantile(const std::vector<float>& ascending, double q) {
  if (ascending.empty()) return {};
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(ascending.size())));
  return double{ascending[std::max<size_t>(rank, 1) - 1]};
}

SideSignificance side_significance(const BestOfSide& observed, const BestOfSide& null, int64_t rows,
                                   int64_t runs, const SignificanceOptions& options) {
  FEATFLOW_CHECK(
      observed.measurable == null.measurable && observed.active_tokens == null.active_tokens,
      "a null of the same features on the same rows");
  const size_t m = observed.measurable.size();
  const std::vector<size_t> strata = strata_of(observed, rows);
  const auto maxima = pooled_maxima(null, runs, strata);

  SideSignificance side;
  side.p_values.assign(m, std::numeric_limits<double>::quiet_NaN());
  std::vector<size_t> tested;
  std::vector<double> p_tested;
  for (size_t j = 0; j < m; ++j) {
    if (observed.measurable[j] == 0) continue;
    const std::vector<float>& pooled = maxima[strata[j]];
    const double r = double{observed.best[j]};
    side.p_values[j] = std::isnan(r) ? 1
                                     : static_cast<double>(1 + at_least(pooled, r)) /
                                           static_cast<double>(std::ssize(pooled) + 1);
    tested.push_back(j);
    p_tested.push_back(side.p_values[j]);
  }
  const std::vector<uint8_t> rejected = benjamini_hochberg(p_tested, options.alpha);

  for (size_t s = 0; s < kStrata; ++s) {
    side.null_matched += static_cast<double>(at_least(maxima[s], options.threshold)) /
                         static_cast<double>(std::max<int64_t>(runs, 1));
    side.strata.push_back({kBounds[s],
                           kBounds[s + 1],
                           0,
                           std::ssize(maxima[s]),
                           quantile(maxima[s], 0.5),
                           quantile(maxima[s], 0.95),
                           quantile(maxima[s], 0.99),
                           0,
                           {}});
  }
  for (size_t i = 0; i < tested.size(); ++i) {
    const double r = double{observed.best[tested[i]]};
    DensityStratum& stratum = side.strata[strata[tested[i]]];
    const bool matched = r >= options.threshold, significant = rejected[i] != 0;
    ++side.measurable;
    ++stratum.features;
    side.matched += matched;
    side.matched_significant += matched && significant;
    side.matched_above_own += matched && r > double{own_maximum(null, runs, tested[i])};
    if (!significant) continue;
    ++side.significant;
    ++stratum.significant;
    stratum.smallest_significant = std::min(stratum.smallest_significant.value_or(r), r);
  }
  return side;
}

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json json_of(const SideSignificance& side) {
  Json strata = Json::array();
  for (const DensityStratum& stratum : side.strata) {
    strata.push_back({{"lower", stratum.lower},
                      {"upper", stratum.upper},
                      {"features", stratum.features},
                      {"maxima", stratum.maxima},
                      {"median", json_of(stratum.median)},
                      {"p95", json_of(stratum.p95)},
                      {"p99", json_of(stratum.p99)},
                      {"significant", stratum.significant},
                      {"smallest_significant", json_of(stratum.smallest_significant)}});
  }
  return {{"measurable", side.measurable},
          {"significant", side.significant},
          {"matched", side.matched},
          {"matched_significant", side.matched_significant},
          {"matched_above_own", side.matched_above_own},
          {"null_matched", side.null_matched},
          {"strata", std::move(strata)}};
}

std::optional<double> parse_optional(const nlohmann::json& value) {
  if (value.is_null()) return {};
  return value.get<double>();
}

SideSignificance parse_side(const nlohmann::json& json) {
  SideSignificance side;
  side.measurable = json.at("measurable");
  side.significant = json.at("significant");
  side.matched = json.at("matched");
  side.matched_significant = json.at("matched_significant");
  side.matched_above_own = json.at("matched_above_own");
  side.null_matched = json.at("null_matched");
  for (const nlohmann::json& stratum : json.at("strata")) {
    side.strata.push_back({stratum.at("lower"), stratum.at("upper"), stratum.at("features"),
                           stratum.at("maxima"), parse_optional(stratum.at("median")),
                           parse_optional(stratum.at("p95")), parse_optional(stratum.at("p99")),
                           stratum.at("significant"),
                           parse_optional(stratum.at("smallest_significant"))});
  }
  return side;
}

}  // namespace

std::vector<uint8_t> benjamini_hochberg(std::span<const double> p_values, double alpha) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(p_values[i], i); });
  size_t rejected = 0;
  for (size_t k = 1; k <= order.size(); ++k) {
    const double limit = alpha * static_cast<double>(k) / static_cast<double>(order.size());
    if (p_values[order[k - 1]] <= limit) rejected = k;
  }
  std::vector<uint8_t> result(p_values.size(), 0);
  for (size_t k = 0; k < rejected; ++k) result[order[k]] = 1;
  return result;
}

Significance significance(const BestCorrelations& observed, const NullMaxima& null,
                          const SignificanceOptions& options) {
  FEATFLOW_CHECK(observed.runs == 1 && observed.rows == null.maxima.rows,
                 "one observed run, on the rows of the null");
  const auto side = [&](const BestOfSide& observed_side, const BestOfSide& null_side) {
    return side_significance(observed_side, null_side, observed.rows, null.maxima.runs, options);
  };
  return {null.kind,
          null.maxima.runs,
          null.moved,
          options.threshold,
          options.alpha,
          side(observed.a, null.maxima.a),
          side(observed.b, null.maxima.b)};
}

Json to_json(const Significance& significance) {
  return {{"null", name_of(significance.kind)}, {"runs", significance.runs},
          {"moved", significance.moved},        {"threshold", significance.threshold},
          {"alpha", significance.alpha},        {"a", json_of(significance.a)},
          {"b", json_of(significance.b)}};
}

Significance parse_significance(const nlohmann::json& json) {
  return {parse_null_kind(json.at("null").get<std::string>()),
          json.at("runs"),
          json.at("moved"),
          json.at("threshold"),
          json.at("alpha"),
          parse_side(json.at("a")),
          parse_side(json.at("b"))};
}

}  // namespace featflow
