#include "merging/merge.hpp"

#include <fmt/format.h>

#include <optional>

#include "cli/command.hpp"
#include "cli/text_input.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "merging/sweep.hpp"
#include "model/evaluation.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

// Method, and what the methods that need a base have beside it.
struct MethodFlags {
  std::string base, method = "slerp", rescale = "l1_norm";
  double scale = -1, density = 1;
  uint64_t seed = 42;

  void add_to(CLI::App& command) {
    command
        .add_option("--method", method,
                    "linear, slerp, task_arithmetic, ties, dare_linear, dare_ties")
        ->capture_default_str();
    command.add_option("--base", base, "Model that both were fine-tuned from");
    command.add_option("--scale", scale, "λ of the task vectors (default: 2; ties 1)")
        ->check(CLI::NonNegativeNumber);
    command.add_option("--density", density, "Share of each task vector that stays: ties, dare_*")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command
        .add_option("--rescale", rescale, "What DARE keeps: l1_norm, or density as in its paper")
        ->check(CLI::IsMember({"l1_norm", "density"}))
        ->capture_default_str();
    command.add_option("--seed", seed, "Of DARE's masks and of a sweep's bootstrap")
        ->capture_default_str();
  }

  MergeOptions options() const {
    MergeOptions options;
    options.method = parse_merge_method(method, "--method");
    options.scale = scale < 0 ? default_scale(options.method) : scale;
    options.density = density;
    options.rescale = parse_dare_rescale(rescale, "--rescale");
    options.seed = seed;
    return options;
  }

  std::optional<Checkpoint> load_base() const {
    if (base.empty()) return std::nullopt;
    return load_checkpoint(base);
  }
};

struct OneMerge {
  std::string a, b, out;
  MethodFlags method;
  double t = 0.5;
  bool force = false;
};

std::string folder_name(const std::string& folder) {
  const auto path = std::filesystem::path(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

void run_merge(const OneMerge& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  require_same_tokenizer(options.a, options.b);
  const ParentNames names{folder_name(options.a), folder_name(options.b)};
  const MergeOptions method = options.method.options();
  const std::optional<Checkpoint> base = options.method.load_base();
  const MergeResult result = merge(load_checkpoint(options.a), load_checkpoint(options.b),
                                   base ? &*base : nullptr, options.t, method, names);
  save_checkpoint(result.checkpoint, options.out, options.a);
  if (common.json) {
    print_json({{"out", options.out},
                {"method", options.method.method},
                {"options", to_json(method)},
                {"t", options.t},
                {"direction", merge_direction(names, method.method)},
                {"tensors", to_json(result.reports)}});
    return;
  }
  fmt::print("{} at t = {} ({}) → {}\n\n", options.method.method, options.t,
             merge_direction(names, method.method), options.out);
  fmt::print("{:<52} {:>9} {:>6} {:>10} {:>10} {:>10}\n", "tensor", "cosine", "branch", "norm A",
             "norm B", "merged");
  for (const TensorReport& tensor : result.reports) {
    fmt::print("{:<52} {:>9.6f} {:>6} {:>10.4f} {:>10.4f} {:>10.4f}\n", tensor.name, tensor.cosine,
               tensor.branch, tensor.norm_a, tensor.norm_b, tensor.norm_merged);
  }
}

struct SweepOptions {
  std::string a, b, data_a, data_b, out;
  MethodFlags method;
  std::string balance = "accuracy";
  int steps = 51;
  int64_t block_size = 256, max_tokens = 0, resamples = 1000;
};

void run_sweep(const SweepOptions& options, const CommonOptions& common) {
  common.apply();
  SweepConfig config;
  config.balance = parse_balance_rule(options.balance, "--balance");
  if (config.balance == BalanceRule::kGain && options.method.base.empty()) {
    throw Error(
        "--balance gain: no --base given, expected the model that both were fine-tuned from: gain "
        "is "
        "measured from its accuracy");
  }
  require_same_tokenizer(options.a, options.b);
  const Checkpoint a = load_checkpoint(options.a), b = load_checkpoint(options.b);
  const std::optional<Checkpoint> base = options.method.load_base();
  const TokenShard texts[2] = {load_text(options.data_a, options.a),
                               load_text(options.data_b, options.b)};
  config.merge = options.method.options();
  config.steps = options.steps;
  config.names = {folder_name(options.a), folder_name(options.b)};
  if (base) config.base_name = folder_name(options.method.base);
  config.bootstrap = {options.resamples, derive_seed(options.method.seed, "balance")};
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
  fmt::print("{}\n{:>6} {:>12} {:>12}\n", merge_direction(config.names, config.merge.method), "t",
             "accuracy " + config.names.a, "accuracy " + config.names.b);
  for (const CurvePoint& point : result.curve) {
    fmt::print("{:>6.3f} {:>12.4f} {:>12.4f}\n", point.t, point.scores.a.accuracy(),
               point.scores.b.accuracy());
  }
  fmt::print("balance point t = {:.4f}{}: accuracy {:.4f} on {}'s text, {:.4f} on {}'s\n",
             result.balance.t, describe(result.interval), result.merged.a.accuracy(),
             config.names.a, result.merged.b.accuracy(), config.names.b);
  fmt::print("on all documents t = {:.4f}{}\n", result.balance_of_all.t,
             describe(result.interval_of_all));
}

}  // namespace

void add_merge(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<OneMerge>();
  CLI::App* command =
      add_command(app, "merge", "Merge two models of one shape; t = 0 is all A, t = 1 all B",
                  "featflow merge runs/quick/model/Lua runs/quick/model/TinyStories "
                  "--method slerp --t 0.58 --out LuaStories",
                  common);
  command->add_option("a", options->a, "Model folder A (t = 0)")->required();
  command->add_option("b", options->b, "Model folder B (t = 1)")->required();
  options->method.add_to(*command);
  command
      ->add_option("--t", options->t,
                   "0: A, 1: B; of task vectors (methods with --base): A's weighs 1 - t, B's t")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
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
  options->method.add_to(*command);
  command->add_option("--steps", options->steps, "Grid points over [0, 1]")
      ->check(CLI::Range(3, 10'001))
      ->capture_default_str();
  command
      ->add_option("--balance", options->balance,
                   "What is equal at the balance point: accuracy, or gain over --base")
      ->check(CLI::IsMember({"accuracy", "gain"}))
      ->capture_default_str();
  command
      ->add_option("--resamples", options->resamples,
                   "Of the documents, for the balance point's interval; 0: none")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--eval-a", options->data_a, "Validation text of A's domain")->required();
  command->add_option("--eval-b", options->data_b, "Validation text of B's domain")->required();
  command->add_option("--block-size", options->block_size)
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "At most so many of each text, in blocks from all of it; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--out", options->out, "Folder for sweep.csv and sweep.json")->required();
  command->callback([options, &common] { run_sweep(*options, common); });
}

}  // namespace featflow
