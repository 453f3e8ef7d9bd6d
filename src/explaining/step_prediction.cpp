#include "explaining/step_prediction.hpp"

#include <algorithm>
#include <cmath>

namespace featflow {
namespace {

std::optional<double> correlation(double n, double xy, double x, double y, double xx, double yy) {
  const double vx = xx - x * x / n, vy = yy - y * y / n;
  if (!(vx > 1e-12 * xx) || !(vy > 1e-12 * yy)) return {};
  return std::clamp((xy - x * y / n) / std::sqrt(vx * vy), -1.0, 1.0);
}

}  // namespace

std::optional<double> step_correlation(std::span<const Step> steps, const StepTruth& truth) {
  double x = 0, xx = 0, xy = 0;
  for (const Step& step : steps) {
    x += step.rows * step.value;
    xx += step.rows * step.value * step.value;
    xy += step.value * step.sum;
  }
  return correlation(truth.rows, xy, x, truth.sum, xx, truth.squares);
}

std::optional<double> step_rank_correlation(std::vector<Step> steps, const StepTruth& truth) {
  std::ranges::sort(steps, {}, &Step::value);
  double below = 0, xx = 0, xy = 0;
  for (size_t first = 0; first < steps.size();) {
    size_t last = first;
    double rows = 0, ranks = 0;
    for (; last < steps.size() && steps[last].value == steps[first].value; ++last) {
      rows += steps[last].rows;
      ranks += steps[last].ranks + (steps[last].rows - steps[last].active) * truth.zero_rank;
    }
    const double rank = below + (rows + 1) / 2;
    xx += rows * rank * rank;
    xy += rank * ranks;
    below += rows;
    first = last;
  }
  const double sum = truth.rows * (truth.rows + 1) / 2;
  return correlation(truth.rows, xy, sum, sum, xx, truth.rank_squares);
}

}  // namespace featflow
