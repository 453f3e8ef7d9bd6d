#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cli/command.hpp"
#include "core/error.hpp"
#include "core/nearest.hpp"
#include "matching/pair_ratings.hpp"
#include "report/pairs_page.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

struct PairsOptions {
  std::string run, out, key;
  std::vector<std::string> edges, ratings;
  std::vector<double> bands = {0.5, 0.6, 0.7, 0.8, 0.9, 1.0};
  int64_t per_band = 50, examples = 8, context = 12;
  std::optional<uint64_t> seed;
  bool force = false;
};

// (parent, child) of the edges asked for, or of all.
std::vector<std::pair<std::string, std::string>> chosen_edges(
    const Study& study, const std::vector<std::string>& asked) {
  const std::vector<std::pair<std::string, std::string>> all = study.edges();
  std::vector<std::string> names;
  for (const auto& [parent, child] : all) names.push_back(edge_name(parent, child));
  if (all.empty())
    throw Error(fmt::format("study {} has no edges: no model has a parent", study.name));
  if (asked.empty()) return all;
  std::vector<std::pair<std::string, std::string>> chosen;
  for (const std::string& name : asked) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      throw Error(fmt::format("--edge {}: no such edge in study {}; {}", in_quotes(name),
                              study.name, expected_name(name, names)));
    }
    const auto& edge = all[static_cast<size_t>(found - names.begin())];
    if (std::ranges::find(chosen, edge) == chosen.end()) chosen.push_back(edge);
  }
  return chosen;
}

PairsPage sample_run(const PairsOptions& options) {
  const Study study = load_run(options.run).study;
  PairsPage page;
  page.examples = options.examples;
  page.context = options.context;
  page.edges = chosen_edges(study, options.edges);
  const std::vector<CorrelationBand> bands = correlation_bands(options.bands);
  std::vector<EdgePairs> edges;
  for (const auto& [parent, child] : page.edges) {
    const Matches matches =
        load_matches(stage_folder(options.run, "matching/" + parent + "--" + child, "matching"));
    edges.push_back({parent, child,
                     best_measurable_pairs(matches, bands.front().low, measurable_limits(study))});
    for (const std::string& model : {parent, child}) {
      page.activations[model] = stage_folder(options.run, "activations/" + model, "matching");
    }
  }
  page.tokens =
      stage_folder(options.run, "matching_text/matching_text", "matching") / "tokens.safetensors";
  page.tokenizer = stage_folder(options.run, "tokenizer/tokenizer", "matching");
  Rng rng(options.seed.value_or(study.seed), "pairs to rate");
  page.sample = sample_pairs(edges, bands, options.per_band, rng);
  return page;
}

void export_pairs(const PairsOptions& options, const CommonOptions& common) {
  require_new(options.out, options.force);
  const PairsPage page = sample_run(options);
  write_pairs(page, options.out);

  const PairSample& sample = page.sample;
  nlohmann::ordered_json bands = nlohmann::ordered_json::array();
  for (size_t b = 0; b < sample.bands.size(); ++b) {
    bands.push_back({{"band", sample.bands[b].name()},
                     {"pairs", sample.sampled(static_cast<int64_t>(b))},
                     {"available", sample.available[b]}});
  }
  const std::string html = (fs::path(options.out) / "pairs.html").string();
  if (common.json) {
    print_json(
        {{"out", options.out}, {"page", html}, {"pairs", sample.pairs.size()}, {"bands", bands}});
    return;
  }
  for (const auto& band : bands) {
    const auto pairs = band["pairs"].get<int64_t>(), available = band["available"].get<int64_t>();
    fmt::print("{}: {} pairs of {}{}\n", band["band"].get<std::string>(), pairs, available,
               pairs < options.per_band
                   ? fmt::format(", fewer than the {} asked for", options.per_band)
                   : "");
  }
  fmt::print("{}\nGive raters this page alone; key.csv says what it hides.\n", html);
}

nlohmann::ordered_json to_json(const BandRatings& row) {
  nlohmann::ordered_json json = {{"band", row.band}, {"pairs", row.pairs}};
  for (size_t i = 0; i < kPairRatings.size(); ++i)
    json[std::string(kPairRatings[i])] = row.counts[i];
  json["same_share"] = nullptr;
  json["low"] = json["high"] = nullptr;
  if (const auto interval = row.same_interval()) {
    json["same_share"] = *row.same_share();
    json["low"] = interval->low;
    json["high"] = interval->high;
  }
  return json;
}

void print_scores(const std::string& file, const std::vector<BandRatings>& rows) {
  fmt::print("{}\n{:<10} {:>6} {:>5} {:>8} {:>10} {:>12}   {}\n", file, "band", "pairs", "same",
             "similar", "different", "cannot tell", "same, of those judged (95%)");
  for (const BandRatings& row : rows) {
    const auto interval = row.same_interval();
    fmt::print("{:<10} {:>6} {:>5} {:>8} {:>10} {:>12}   {}\n", row.band, row.pairs, row.counts[0],
               row.counts[1], row.counts[2], row.counts[3],
               interval ? fmt::format("{:.1f}% ({:.1f}–{:.1f}%)", 100 * *row.same_share(),
                                      100 * interval->low, 100 * interval->high)
                        : "–");
  }
}

void score(const PairsOptions& options, const CommonOptions& common) {
  const std::map<std::string, std::string> bands = load_pair_bands(options.key);
  std::vector<PairRatings> raters;
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const std::string& file : options.ratings) {
    raters.push_back(load_pair_ratings(file));
    const std::vector<BandRatings> rows = score_ratings(raters.back(), bands, file);
    if (!common.json) print_scores(file, rows);
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const BandRatings& row : rows) json.push_back(to_json(row));
    files.push_back({{"file", file}, {"bands", json}});
  }
  nlohmann::ordered_json result = {{"ratings", files}, {"kappa", nullptr}, {"agreement", nullptr}};
  if (raters.size() == 2) {
    const auto kappa = cohens_kappa(raters[0], raters[1]);
    const auto agreement = rating_agreement(raters[0], raters[1]);
    if (kappa) result["kappa"] = *kappa;
    if (agreement) result["agreement"] = *agreement;
    if (!common.json) {
      fmt::print("Cohen's κ {}, equal ratings {}\n", kappa ? fmt::format("{:.3f}", *kappa) : "–",
                 agreement ? fmt::format("{:.1f}%", 100 * *agreement) : "–");
    }
  }
  if (common.json) print_json(result);
}

}  // namespace

void add_pairs(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<PairsOptions>();
  CLI::App* command =
      add_command(app, "pairs", "Pairs of features for people to rate, blind to their correlation",
                  "featflow pairs runs/quick --out pairs\n"
                  "  featflow pairs --score ratings.csv --key pairs/key.csv",
                  common);
  auto* run = command->add_option("run", options->run, "Run folder with its features matched");
  auto* out = command->add_option("--out", options->out, "Folder to write");
  command->add_option("--edge", options->edges, "PARENT--CHILD; repeatable (default: all edges)")
      ->allow_extra_args(false);
  command->add_option("--per-band", options->per_band, "Pairs of each band, if it has so many")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command->add_option("--bands", options->bands, "Limits of the bands of correlation")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--examples", options->examples, "Examples of each feature by itself")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--context", options->context, "Tokens on either side of an example")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--seed", options->seed,
                      "Of the sample and its order (default: the study's)");
  command->add_flag("--force", options->force, "Replace the files of an existing folder");
  auto* scored = command
                     ->add_option("--score", options->ratings,
                                  "ratings.csv of one rater or two: what they say of each band")
                     ->expected(1, 2)
                     ->excludes(run)
                     ->excludes(out);
  auto* key = command->add_option("--key", options->key, "key.csv of the same export");
  scored->needs(key);
  key->needs(scored);
  command->callback([options, &common] {
    common.apply();
    if (!options->ratings.empty()) return score(*options, common);
    if (options->run.empty()) throw CLI::RequiredError("run");
    if (options->out.empty()) throw CLI::RequiredError("--out");
    export_pairs(*options, common);
  });
}

}  // namespace featflow
