#include "explaining/simulation.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "core/error.hpp"

namespace featflow {
namespace {

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool constant(std::span<const double> values) {
  return std::ranges::all_of(values, [&](double value) { return value == values.front(); });
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = (static_cast<double>(begin) + static_cast<double>(end) - 1) / 2;
    for (size_t i = begin; i < end; ++i) result[order[i]] = rank;
    begin = end;
  }
  return result;
}

/// The integers of "1, 2, 3"; nothing if it is anything else.
std::optional<std::vector<int>> integers(std::string_view text) {
  const auto skip_space = [&] {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  };
  std::vector<int> values;
  skip_space();
  while (!text.empty()) {
    int value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc()) return {};
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    values.push_back(value);
    skip_space();
    if (text.empty()) break;
    if (text.front() != ',') return {};
    text.remove_prefix(1);
    skip_space();
    if (text.empty()) return {};
  }
  return values;
}

}  // namespace

int quantised_activation(float value, float maximum) {
  if (!(value > 0) || !(maximum > 0)) return 0;
  return std::clamp(static_cast<int>(std::ceil(9.0 * value / maximum)), 1, 9);
}

std::optional<std::vector<int>> parse_integers(std::string_view reply, int64_t count, int maximum) {
  // Backwards, each byte once: a list ends at the first bracket that closes behind its beginning.
  size_t close = std::string_view::npos;
  for (size_t at = reply.size(); at-- > 0;) {
    if (reply[at] == ']') close = at;
    if (reply[at] != '[' || close == std::string_view::npos) continue;
    const auto values = integers(reply.substr(at + 1, close - at - 1));
    close = std::string_view::npos;
    if (!values || values->empty()) continue;  // prose in brackets
    const bool valid = std::ssize(*values) == count && std::ranges::all_of(*values, [&](int value) {
                         return value >= 0 && value <= maximum;
                       });
    return valid ? values : std::nullopt;
  }
  return {};
}

std::optional<double> simulation_score(std::span<const double> simulated,
                                       std::span<const double> actual) {
  FEATFLOW_CHECK(simulated.size() == actual.size(), "a simulated activation per token");
  if (actual.empty() || constant(actual)) return {};
  if (constant(simulated)) return 0.0;
  const double simulated_mean = mean(simulated), actual_mean = mean(actual);
  double products = 0, simulated_squares = 0, actual_squares = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double s = simulated[i] - simulated_mean, a = actual[i] - actual_mean;
    products += s * a;
    simulated_squares += s * s;
    actual_squares += a * a;
  }
  return std::clamp(products / std::sqrt(simulated_squares * actual_squares), -1.0, 1.0);
}

std::optional<double> simulation_spearman(std::span<const double> simulated,
                                          std::span<const double> actual) {
  return simulation_score(ranks(simulated), ranks(actual));
}

void YesNoCounts::add(bool answer, bool truth) {
  if (truth) {
    ++(answer ? true_positives : false_negatives);
  } else {
    ++(answer ? false_positives : true_negatives);
  }
}

int64_t YesNoCounts::answers() const {
  return true_positives + false_negatives + true_negatives + false_positives;
}

std::optional<double> YesNoCounts::balanced_accuracy() const {
  const int64_t positives = true_positives + false_negatives;
  const int64_t negatives = true_negatives + false_positives;
  if (positives == 0 || negatives == 0) return {};
  return (static_cast<double>(true_positives) / static_cast<double>(positives) +
          static_cast<double>(true_negatives) / static_cast<double>(negatives)) /
         2;
}

}  // namespace featflow
