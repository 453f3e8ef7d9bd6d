#include "report/paired_activations.hpp"

#include <algorithm>

#include "features/example_text.hpp"

namespace featflow {

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
  const auto share = [&](const std::pair<float, float>& row) {
    return std::max(row.first > 0 ? row.first / a.maximum : 0,
                    row.second > 0 ? row.second / b.maximum : 0);
  };
  std::stable_sort(either.begin(), either.end(),
                   [&](const auto& x, const auto& y) { return share(x) > share(y); });

  PairedActivations paired;
  paired.rows = std::ssize(either);
  if (paired.rows <= count) {
    paired.points = std::move(either);
    return paired;
  }
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
