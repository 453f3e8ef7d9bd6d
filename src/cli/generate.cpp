#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/text_input.hpp"
#include "core/rng.hpp"
#include "model/model.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

struct Options {
  std::string model, prompt;
  GenerateOptions generate;
  uint64_t seed = 0;
};

void run_generate(const Options& options, const CommonOptions& common) {
  common.apply();
  const Model model(load_model_for_text(options.model));
  const Tokenizer tokenizer = Tokenizer::load(options.model);
  std::vector<int32_t> prompt = {tokenizer.bos_id()};
  const std::vector<int32_t> ids = tokenizer.encode(options.prompt);
  prompt.insert(prompt.end(), ids.begin(), ids.end());
  Rng rng(options.seed, "generate");
  const std::vector<int32_t> continuation = generate(model, prompt, options.generate, rng);
  std::vector<int32_t> all(prompt.begin() + 1, prompt.end());
  all.insert(all.end(), continuation.begin(), continuation.end());
  if (common.json) {
    print_json(
        {{"prompt", options.prompt}, {"text", tokenizer.decode(all)}, {"ids", continuation}});
  } else {
    fmt::print("{}\n", tokenizer.decode(all));
  }
}

}  // namespace

void add_generate(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(
      app, "generate", "Let a model continue a text",
      "featflow generate runs/quick/model/LuaStories --prompt 'Once upon a time'", common);
  command->add_option("model", options->model, "Model folder with its tokenizer.model")->required();
  command->add_option("--prompt", options->prompt, "Text to continue")->required();
  command->add_option("--max-tokens", options->generate.max_tokens, "At most this many new tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--temperature", options->generate.temperature, "0: always the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Same seed, same text")->capture_default_str();
  command->callback([options, &common] { run_generate(*options, common); });
}

}  // namespace featflow
