#include "features/example_text.hpp"

#include <algorithm>
#include <cmath>

namespace featflow {

TextWindow window_around(const TokenShard& text, int64_t position, int64_t before, int64_t after) {
  const int64_t document = text.document_of(position);
  const int64_t document_begin = text.document_starts[static_cast<size_t>(document)];
  return {std::max(document_begin, position - before),
          std::min(text.document_end(document), position + after + 1), position};
}

std::span<const int32_t> tokens_in(const TokenShard& text, const TextWindow& window) {
  return std::span(text.tokens)
      .subspan(static_cast<size_t>(window.begin), static_cast<size_t>(window.end - window.begin));
}

std::vector<std::pair<int64_t, float>> activations_in(const Column& column,
                                                      std::span<const int64_t> token_positions,
                                                      const TextWindow& window) {
  const auto position_of = [&](int32_t row) { return token_positions[static_cast<size_t>(row)]; };
  std::vector<std::pair<int64_t, float>> found;
  for (auto at = std::ranges::lower_bound(column.rows, window.begin, {}, position_of);
       at != column.rows.end() && position_of(*at) < window.end; ++at) {
    found.emplace_back(position_of(*at) - window.begin,
                       column.values[static_cast<size_t>(at - column.rows.begin())]);
  }
  return found;
}

int activation_level(float value, float maximum) {
  return static_cast<int>(std::clamp(std::lround(255 * (value / maximum)), 1L, 255L));
}

}  // namespace featflow
