#include <fmt/format.h>

#include "cli/command.hpp"
#include "matching/correlation.hpp"
#include "matching/matches.hpp"
#include "storage/files.hpp"
#include "study/settings.hpp"

namespace featflow {
namespace {

struct MatchOptions {
  std::string a, b, out, memory = "2GiB";
  double threshold = 0.8, floor = 0.3;
  MeasurableLimits limits;
  bool force = false;
};

void run_match(const MatchOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  const ActivationShards a(options.a), b(options.b);
  CorrelationOptions correlation;
  correlation.floor = options.floor;
  correlation.memory_bytes = parse_bytes(options.memory, "--memory");
  const Matches matches = correlate(a, b, correlation);
  create_folder(options.out);
  save_matches(matches, options.out, options.limits);
  const MatchCounts counts = count_matches(matches, options.threshold, options.limits);
  if (common.json) {
    print_json({{"out", options.out},
                {"threshold", options.threshold},
                {"pairs_above_floor", matches.pairs.size()},
                {"matching_pairs", counts.pairs},
                {"features_a", counts.features_a},
                {"features_b", counts.features_b}});
    return;
  }
  fmt::print("{} pairs with r ≥ {}; at {}: {} pairs, {} features of A and {} of B have a match\n",
             matches.pairs.size(), options.floor, options.threshold, counts.pairs,
             counts.features_a, counts.features_b);
}

}  // namespace

void add_match(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<MatchOptions>();
  CLI::App* command = add_command(
      app, "match", "Exact correlation of every feature of A with every feature of B",
      "featflow match runs/quick/activations/BabyPython runs/quick/activations/Lua --out matches",
      common);
  command->add_option("a", options->a, "Feature activations of A: file or folder")->required();
  command->add_option("b", options->b, "Feature activations of B, on the same text")->required();
  command->add_option("--out", options->out, "Folder to write")->required();
  command->add_option("--threshold", options->threshold, "A pair matches at or above it")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--floor", options->floor, "Pairs below it are not stored")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--memory", options->memory, "Less memory, more passes over A and B")
      ->capture_default_str();
  command->add_option("--minimum-tokens", options->limits.min_tokens, "Of a measurable feature")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--minimum-documents", options->limits.min_documents)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--force", options->force, "Replace an existing folder");
  command->callback([options, &common] { run_match(*options, common); });
}

}  // namespace featflow
