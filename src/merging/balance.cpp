#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "merging/sweep.hpp"

namespace featflow {

std::vector<double> crossings(std::span<const double> t, std::span<const double> difference) {
  FEATFLOW_CHECK(t.size() == difference.size(), "a curve has one value per t");
  const std::span<const double> d = difference;
  std::vector<double> roots;
  for (size_t i = 0; i < d.size(); ++i) {
    if (d[i] == 0) {
      const size_t first = i;
      while (i + 1 < d.size() && d[i + 1] == 0) ++i;
      roots.push_back((t[first] + t[i]) / 2);
    } else if (i + 1 < d.size() && d[i + 1] != 0 && (d[i] < 0) != (d[i + 1] < 0)) {
      roots.push_back(t[i] + (t[i + 1] - t[i]) * (d[i] / (d[i] - d[i + 1])));
    }
  }
  return roots;
}

Balance find_balance(const std::vector<CurvePoint>& curve, const ParentNames& names) {
  FEATFLOW_CHECK(!curve.empty(), "a curve without points");
  std::vector<double> t, difference;
  for (const CurvePoint& point : curve) {
    t.push_back(point.t);
    difference.push_back(point.scores.a.half(0).accuracy() - point.scores.b.half(0).accuracy());
    FEATFLOW_CHECK(!std::isnan(difference.back()), "a half without predictions");
  }
  const std::vector<double> roots = crossings(t, difference);

  Balance balance;
  balance.crossings = std::ssize(roots);
  if (roots.empty()) {
    const auto nearest =
        std::ranges::min_element(difference, {}, [](double d) { return std::abs(d); });
    balance.t = t[nearest - difference.begin()];
    balance.warning = fmt::format(
        "no balance point: accuracy on {0}'s text is {1} that on {2}'s text at every t; t = "
        "{3:.4g} has "
        "the smallest difference ({4:+.4f})",
        names.a, *nearest > 0 ? "above" : "below", names.b, balance.t, *nearest);
    return balance;
  }
  const double middle = (t.front() + t.back()) / 2;
  balance.t =
      *std::ranges::min_element(roots, {}, [&](double root) { return std::abs(root - middle); });
  if (roots.size() > 1) {
    std::string all;
    for (const double root : roots) all += fmt::format("{}{:.4g}", all.empty() ? "" : ", ", root);
    balance.warning = fmt::format(
        "{} balance points: the accuracies on {}'s and {}'s text are equal at t = {}; took {:.4g}, "
        "the nearest the middle",
        roots.size(), names.a, names.b, all, balance.t);
  }
  return balance;
}

}  // namespace featflow
