#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "features/columns.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// A stretch of the token stream around one token, which is shown as an example. Positions in the
/// stream.
struct TextWindow {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t peak = 0;  ///< The token that it was cut around.
};

/// `before` tokens before `position` and `after` behind it, as far as its document has them.
TextWindow window_around(const TokenShard& text, int64_t position, int64_t before, int64_t after);

/// The window's tokens, borrowed.
std::span<const int32_t> tokens_in(const TokenShard& text, const TextWindow& window);

/// (offset in the window, activation) of a feature on the tokens of a window on which it is active,
/// ascending. `token_positions` [n] as in FeatureActivations, ascending.
std::vector<std::pair<int64_t, float>> activations_in(const Column& column,
                                                      std::span<const int64_t> token_positions,
                                                      const TextWindow& window);

/// An activation as a share of the feature's maximum in 8 bits: 1 … 255, 0 being off.
int activation_level(float value, float maximum);

}  // namespace featflow
