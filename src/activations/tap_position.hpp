#pragma once

#include <cstdint>
#include <string>

#include "autoencoder/autoencoder.hpp"
#include "checkpoint/model_config.hpp"

namespace featflow {

/// Where in the network a tap lies.
struct TapPosition {
  int64_t layer = 0;
  bool before_down_projection = false;  ///< hook_post; else its rows are in the residual stream.
  bool last_layer = false;  ///< No attention follows: a position's values reach no other's loss.
};

/// Throws Error if the model has no such tap.
TapPosition tap_position(const ModelConfig& config, const std::string& tap);

/// Throws Error unless the autoencoder reads rows of the tap's width.
void require_width_of_tap(const ModelConfig& config, const Autoencoder& autoencoder,
                          const std::string& tap);

}  // namespace featflow
