#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace featflow {

/// Letters to insert, delete, replace or exchange with their neighbour to make b of a (optimal
/// string alignment).
inline size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

/// The known name that a mistyped one is nearest to, for "did you mean"; empty if none is near
/// (more than half of its letters would have to change).
template <typename Names>
std::string nearest(std::string_view given, const Names& known) {
  std::string best;
  size_t best_distance = given.size() / 2 + 1;
  for (const auto& name : known) {
    const size_t distance = edit_distance(given, name);
    if (distance < best_distance) best = name, best_distance = distance;
  }
  return best;
}

/// The end of an error about a name that is none of those known: "did you mean 'Lua'?", or all of
/// them.
std::string expected_name(const std::string& given, const std::vector<std::string>& known);

}  // namespace featflow
