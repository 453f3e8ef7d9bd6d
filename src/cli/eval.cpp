#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/text_input.hpp"
#include "core/error.hpp"
#include "model/evaluation.hpp"

namespace featflow {
namespace {

struct EvalOptions {
  std::string model;
  TextInput input;
  int64_t block_size = 256, max_tokens = 0;
};

void run_eval(const EvalOptions& options, const CommonOptions& common) {
  common.apply();
  const Model model(load_checkpoint(options.model));
  const DocumentScores scores =
      evaluate(model, options.input.load(options.model), options.block_size, options.max_tokens);
  if (scores.total_predicted() == 0) {
    throw Error("eval: the text has no token to predict, expected at least two tokens");
  }
  if (common.json) {
    print_json({{"loss", scores.mean_loss()},
                {"accuracy", scores.accuracy()},
                {"tokens", scores.total_predicted()},
                {"perplexity", scores.perplexity()}});
  } else {
    fmt::print(
        "loss        {:.4f} nats per token\naccuracy    {:.4f}\ntokens      {}\nperplexity  "
        "{:.2f}\n",
        scores.mean_loss(), scores.accuracy(), scores.total_predicted(), scores.perplexity());
  }
}

}  // namespace

void add_eval(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = add_command(
      app, "eval", "How well a model predicts a text: loss, accuracy, perplexity",
      "featflow eval runs/quick/model/Lua --data corpora/lua/nmap-common.jsonl.zst", common);
  command->add_option("model", options->model, "Model folder")->required();
  options->input.add_to(*command);
  command->add_option("--block-size", options->block_size, "Tokens the model sees at a time")
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "At most so many, in blocks from all of the text; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->callback([options, &common] { run_eval(*options, common); });
}

}  // namespace featflow
