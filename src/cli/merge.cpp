#include "merging/merge.hpp"

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/text_input.hpp"
#include "core/error.hpp"
#include "merging/sweep.hpp"
#include "model/evaluation.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

struct MergeOptions {
  std::string a, b, method = "slerp", out;
  double t = 0.5;
  bool force = false;
};

std::string folder_name(const std::string& folder) {
  const auto path = std::filesystem::path(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

void run_merge(const MergeOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  require_same_tokenizer(options.a, options.b);
  const ParentNames names{folder_name(options.a), folder_name(options.b)};
  const MergeResult result =
      merge(load_checkpoint(options.a), load_checkpoint(options.b),
            parse_merge_method(options.method, "--method"), options.t, names);
  save_checkpoint(result.checkpoint, options.out, options.a);
  if (common.json) {
    print_json({{"out", options.out},
                {"method", options.method},
                {"t", options.t},
                {"direction", merge_direction(names)},
                {"tensors", to_json(result.reports)}});
    return;
  }
  fmt::print("{} at t = {} ({}) → {}\n\n", options.method, options.t, merge_direction(names),
             options.out);
  fmt::print("{:<52} {:>9} {:>6} {:>10} {:>10} {:>10}\n", "tensor", "cosine", "branch", "norm A",
             "norm B", "merged");
  for (const TensorReport& tensor : result.reports) {
    fmt::print("{:<52} {:>9.6f} {:>6} {:>10.4f} {:>10.4f} {:>10.4f}\n", tensor.name, tensor.cosine,
               tensor.branch, tensor.norm_a, tensor.norm_b, tensor.norm_merged);
  }
}

struct SweepOptions {
  std::string a, b, base, method = "slerp", data_a, data_b, out;
  int steps = 51;
  int64_t block_size = 256, max_tokens = 0;
};

void run_sweep(const SweepOptions& options, const CommonOptions& common) {
  common.apply();
  require_same_tokenizer(options.a, options.b);
  const Checkpoint a = load_checkpoint(options.a), b = load_checkpoint(options.b);
  std::optional<Checkpoint> base;
  if (!options.base.empty()) base = load_checkpoint(options.base);
  const TokenShard texts[2] = {load_text(options.data_a, options.a),
                               load_text(options.data_b, options.b)};
  SweepConfig config;
  config.method = parse_merge_method(options.method, "--method");
  config.steps = options.steps;
  config.names = {folder_name(options.a), folder_name(options.b)};
  if (base) config.base_name = folder_name(options.base);
  create_folder(options.out);
  const SweepResult result = sweep(
      a, b, base ? &*base : nullptr, config,
      [&](const Checkpoint& checkpoint, int which) {
        return evaluate(Model(checkpoint), texts[which], options.block_size, options.max_tokens);
      },
      options.out);
  if (common.json) {
    fmt::print("{}", read_file(std::filesystem::path(options.out) / "sweep.json"));
    return;
  }
  fmt::print("{}\n{:>6} {:>12} {:>12}\n", merge_direction(config.names), "t",
             "accuracy " + config.names.a, "accuracy " + config.names.b);
  for (const CurvePoint& point : result.curve) {
    fmt::print("{:>6.3f} {:>12.4f} {:>12.4f}\n", point.t, point.scores.a.accuracy(),
               point.scores.b.accuracy());
  }
  fmt::print("balance point t = {:.4f}: accuracy {:.4f} on {}'s text, {:.4f} on {}'s\n",
             result.balance.t, result.merged.a.accuracy(), config.names.a,
             result.merged.b.accuracy(), config.names.b);
}

}  // namespace

void add_merge(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command =
      add_command(app, "merge", "Merge two models of one shape; t = 0 is A",
                  "featflow merge runs/quick/model/Lua runs/quick/model/TinyStories "
                  "--method slerp --t 0.58 --out LuaStories",
                  common);
  command->add_option("a", options->a, "Model folder A (t = 0)")->required();
  command->add_option("b", options->b, "Model folder B (t = 1)")->required();
  command->add_option("--method", options->method, "slerp or linear")->capture_default_str();
  command->add_option("--t", options->t, "0: A, 1: B")->capture_default_str();
  command->add_option("--out", options->out, "Model folder to write")->required();
  command->add_flag("--force", options->force, "Replace an existing folder");
  command->callback([options, &common] { run_merge(*options, common); });
}

void add_sweep(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<SweepOptions>();
  CLI::App* command = add_command(
      app, "sweep", "Accuracy of every merge along t on two texts, and the balance point",
      "featflow sweep LUA STORIES --eval-a lua.jsonl --eval-b stories.jsonl --base BASE --out "
      "sweep",
      common);
  command->add_option("a", options->a, "Model folder A (t = 0)")->required();
  command->add_option("b", options->b, "Model folder B (t = 1)")->required();
  command->add_option("--base", options->base, "Their common parent, for its baselines");
  command->add_option("--method", options->method, "slerp or linear")->capture_default_str();
  command->add_option("--steps", options->steps, "Grid points over [0, 1]")
      ->check(CLI::Range(3, 10'001))
      ->capture_default_str();
  command->add_option("--eval-a", options->data_a, "Validation text of A's domain")->required();
  command->add_option("--eval-b", options->data_b, "Validation text of B's domain")->required();
  command->add_option("--block-size", options->block_size)
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "Of each text; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--out", options->out, "Folder for sweep.csv and sweep.json")->required();
  command->callback([options, &common] { run_sweep(*options, common); });
}

}  // namespace featflow
