#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

/// Edits (insert, delete, replace) between two names (Levenshtein).
inline size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
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
