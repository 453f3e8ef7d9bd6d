#include "report/paired_activations.hpp"

#include <algorithm>
#include <numeric>

#include "features/example_text.hpp"

namespace featflow {

namespace {

/// Puts rows in order of descending share, a number in [0, 1], to a thousandth of it; equal ones
/// stay in order. A counting sort: there are millions of rows in a report's plots, and few are
/// drawn.
template <typename Share>
void rank(std::vector<std::pair<float, float>>& rows, Share share) {
  constexpr int kSteps = 1000;
  const auto step = [&](const auto& row) {
    return static_cast<size_t>(kSteps -
                               std::clamp(static_cast<int>(kSteps * share(row)), 0, kSteps));
  };
  std::vector<int64_t> next(kSteps + 2);
  for (const auto& row : rows) ++next[step(row) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<std::pair<float, float>> ranked(rows.size());
  for (const auto& row : rows) ranked[static_cast<size_t>(next[step(row)]++)] = row;
  rows = std::move(ranked);
}

}  // namespace

PairedActivations paired_activations(const PairedColumn& a, const PairedColumn& b, int64_t count) {
  const Column &of_a = a.column, &of_b = b.column;
  std::vector<std::pair<float, float>> either;
  either.reserve(of_a.rows.size() + of_b.rows.size());
  size_t i = 0, j = 0;
  while (i < of_a.rows.size() || j < of_b.rows.size()) {
    const bool no_b = j == of_b.rows.size(), no_a = i == of_a.rows.size();
    const bool on_a = no_b || (!no_a && of_a.rows[i] <= of_b.rows[j]);
    const bool on_b = no_a || (!no_b && of_b.rows[j] <= of_a.rows[i]);
    either.emplace_back(on_a ? of_a.values[i] : 0.0f, on_b ? of_b.values[j] : 0.0f);
    i += on_a;
    j += on_b;
  }
  PairedActivations paired;
  paired.rows = std::ssize(either);
  if (paired.rows <= count) {
    paired.points = std::move(either);
    return paired;
  }
  const auto share = [](float value, float maximum) { return value > 0 ? value / maximum : 0.0f; };
  rank(either, [&](const std::pair<float, float>& row) {
    return std::max(share(row.first, a.maximum), share(row.second, b.maximum));
  });
  int64_t last = -1;
  for (int64_t k = 0; k < count; ++k) {
    const double at = (static_cast<double>(k) + 0.5) / static_cast<double>(count);
    const int64_t rank =
        std::max(last + 1, static_cast<int64_t>(static_cast<double>(paired.rows) * at * at));
    if (rank >= paired.rows) break;
    paired.points.push_back(either[static_cast<size_t>(rank)]);
    last = rank;
  }
  return paired;
}

std::string paired_letters(const PairedActivations& paired, float maximum_a, float maximum_b) {
  const auto letter = [](float value, float maximum) {
    const int level = value > 0 ? (activation_level(value, maximum) + 3) / 4 : 0;  // 0, 1 … 64
    return static_cast<char>('0' + level);
  };
  std::string letters;
  for (const auto& [a, b] : paired.points) {
    letters += letter(a, maximum_a);
    letters += letter(b, maximum_b);
  }
  return letters;
}

}  // namespace featflow
