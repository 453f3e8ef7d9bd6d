#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace featflow {

/// Of the values that are not NaN, the mean of the middle two where they are even in number; NaN if
/// there is none.
inline double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace featflow
