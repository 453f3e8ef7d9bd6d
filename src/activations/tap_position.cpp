#include "activations/tap_position.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "model/model.hpp"

namespace featflow {

TapPosition tap_position(const ModelConfig& config, const std::string& tap) {
  tap_width(config, tap);  // so that it is blocks.L.HOOK
  TapPosition position;
  position.layer = std::stoll(tap.substr(std::string("blocks.").size()));
  position.before_down_projection = tap.ends_with(".mlp.hook_post");
  position.last_layer = position.layer + 1 == config.num_hidden_layers;
  return position;
}

void require_width_of_tap(const ModelConfig& config, const Autoencoder& autoencoder,
                          const std::string& tap) {
  const int64_t width = tap_width(config, tap);
  if (width == autoencoder.input_size) return;
  throw Error(
      fmt::format("tap {}: the model's width is {}, the autoencoder's input {}; it was "
                  "trained on another model or tap",
                  tap, width, autoencoder.input_size));
}

}  // namespace featflow
