#include <fmt/format.h>

#include "cli/command.hpp"
#include "core/error.hpp"
#include "model/model.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

struct ForwardOptions {
  std::string model, out;
  std::vector<int32_t> ids;
  std::vector<std::string> taps;
  bool force = false;
};

void forward(const ForwardOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  const Model model(load_checkpoint(options.model));
  const auto time = static_cast<int64_t>(options.ids.size());
  for (const int32_t id : options.ids) {
    if (id < 0 || id >= model.config().vocab_size) {
      throw Error(fmt::format("--ids: {} is no token, expected 0 to {}", id,
                              model.config().vocab_size - 1));
    }
  }
  std::vector<std::vector<float>> values(options.taps.size());
  std::vector<Tap> taps;
  for (size_t i = 0; i < options.taps.size(); ++i) {
    taps.push_back({options.taps[i], [&values, i](TapValues tap) {
                      values[i].assign(tap.data, tap.data + tap.rows * tap.width);
                    }});
  }
  const std::vector<float> logits = model.logits(options.ids, 1, time, taps);
  std::vector<TensorView> tensors = {
      tensor_view("logits", {time, model.config().vocab_size}, logits)};
  for (size_t i = 0; i < taps.size(); ++i) {
    tensors.push_back(
        tensor_view(taps[i].name, {time, tap_width(model.config(), taps[i].name)}, values[i]));
  }
  write_safetensors(options.out, tensors, {{"model", options.model}});
  if (common.json) {
    nlohmann::ordered_json shapes;
    for (const TensorView& tensor : tensors) shapes[tensor.name] = tensor.shape;
    print_json({{"out", options.out}, {"tensors", shapes}});
  } else {
    for (const TensorView& tensor : tensors) {
      fmt::print("{:<28} [{}]\n", tensor.name, fmt::join(tensor.shape, ", "));
    }
  }
}

}  // namespace

void add_forward(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<ForwardOptions>();
  CLI::App* command = add_command(
      app, "forward", "Logits and inner activations of some token ids (run_with_cache)",
      "featflow forward runs/quick/model/Lua --ids 1,15,27 --taps blocks.0.mlp.hook_post "
      "--out cache.safetensors",
      common);
  command->add_option("model", options->model, "Model folder")->required();
  command->add_option("--ids", options->ids, "Token ids, comma-separated")
      ->required()
      ->delimiter(',');
  command
      ->add_option("--taps", options->taps,
                   "blocks.L.mlp.hook_post, blocks.L.hook_mlp_out or blocks.L.hook_resid_post")
      ->delimiter(',');
  command->add_option("--out", options->out, "safetensors file to write")->required();
  command->add_flag("--force", options->force, "Replace an existing file");
  command->callback([options, &common] { forward(*options, common); });
}

}  // namespace featflow
