#include "matching/matches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// Three columns of equal length: what a list of pairs is in the file.
struct PairColumns {
  std::vector<int32_t> feature_a, feature_b;
  std::vector<float> correlation;

  explicit PairColumns(const std::vector<FeaturePair>& pairs) {
    for (const FeaturePair& pair : pairs) {
      feature_a.push_back(pair.feature_a);
      feature_b.push_back(pair.feature_b);
      correlation.push_back(pair.correlation);
    }
  }

  void append_to(std::vector<TensorView>& tensors, const std::string& prefix) const {
    const std::vector<int64_t> shape = {static_cast<int64_t>(feature_a.size())};
    tensors.push_back(tensor_view(prefix + "feature_a", shape, feature_a));
    tensors.push_back(tensor_view(prefix + "feature_b", shape, feature_b));
    tensors.push_back(tensor_view(prefix + "correlation", shape, correlation));
  }
};

std::vector<FeaturePair> read_pairs(const SafetensorsFile& file, const std::string& prefix,
                                    int64_t m_a, int64_t m_b) {
  const auto a = file.read<int32_t>(prefix + "feature_a", {-1});
  const std::vector<int64_t> shape = {static_cast<int64_t>(a.size())};
  const auto b = file.read<int32_t>(prefix + "feature_b", shape);
  const auto r = file.read<float>(prefix + "correlation", shape);
  std::vector<FeaturePair> pairs(a.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (a[i] < 0 || a[i] >= m_a || b[i] < 0 || b[i] >= m_b || !(r[i] >= -1 && r[i] <= 1)) {
      throw Error(fmt::format(
          "{}: {}: pair {} is ({}, {}, {}), expected features below {} and {} "
          "and a correlation between -1 and 1",
          file.path().string(), in_quotes(prefix + "feature_a"), i, a[i], b[i], r[i], m_a, m_b));
    }
    pairs[i] = {a[i], b[i], r[i]};
  }
  return pairs;
}

MatchSide read_side(const SafetensorsFile& file, const std::string& side) {
  MatchSide result;
  result.model = file.metadata("model_" + side);
  result.active_tokens = file.read<int64_t>("active_tokens_" + side, {-1});
  if (file.contains("active_documents_" + side)) {
    result.active_documents =
        file.read<int64_t>("active_documents_" + side, {result.feature_count()});
  }
  return result;
}

void require_ascending(const std::vector<FeaturePair>& pairs, const SafetensorsFile& file,
                       const std::string& what, auto&& key) {
  for (size_t i = 1; i < pairs.size(); ++i) {
    if (key(pairs[i - 1]) < key(pairs[i])) continue;
    throw Error(
        fmt::format("{}: {}: entry {} repeats or precedes the one before it, expected "
                    "ascending features",
                    file.path().string(), what, i));
  }
}

Json parse_metadata(const SafetensorsFile& file, const std::string& key) {
  try {
    return Json::parse(file.metadata(key));
  } catch (const Json::exception&) {
    throw Error(fmt::format("{}: metadata {} is {}, which is not JSON", file.path().string(),
                            in_quotes(key), in_quotes(file.metadata(key))));
  }
}

Json side_summary(const MatchSide& side, const MeasurableLimits& limits) {
  const std::vector<uint8_t> usable = measurable(side.active_tokens, side.active_documents, limits);
  return {{"model", side.model},
          {"features", side.feature_count()},
          {"silent", std::count(side.active_tokens.begin(), side.active_tokens.end(), 0)},
          {"measurable", std::count(usable.begin(), usable.end(), 1)}};
}

std::string summary(const Matches& matches, const MeasurableLimits& limits) {
  Json json = {{"a", side_summary(matches.a, limits)},
               {"b", side_summary(matches.b, limits)},
               {"corpus", matches.corpus},
               {"corpora", matches.corpora},
               {"rows", matches.row_count},
               {"floor", matches.floor},
               {"min_tokens", limits.min_tokens},
               {"min_documents", limits.min_documents},
               {"pairs", matches.pairs.size()},
               {"thresholds", Json::array()}};
  for (const double threshold : standard_thresholds()) {
    if (threshold < matches.floor) continue;
    const MatchCounts counted = count_matches(matches, threshold, limits);
    const MatchCounts all = count_matches(matches, threshold, {0, 0});
    json["thresholds"].push_back({{"threshold", threshold},
                                  {"pairs", counted.pairs},
                                  {"features_a", counted.features_a},
                                  {"features_b", counted.features_b},
                                  {"all_pairs", all.pairs},
                                  {"all_features_a", all.features_a},
                                  {"all_features_b", all.features_b}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::vector<double> standard_thresholds() {
  std::vector<double> thresholds;
  for (int percent = 30; percent <= 95; percent += 5) thresholds.push_back(percent / 100.0);
  return thresholds;
}

std::vector<FeaturePair> measurable_pairs(const Matches& matches, double threshold,
                                          const MeasurableLimits& limits) {
  if (threshold < matches.floor) {
    throw Error(fmt::format(
        "matches of {} and {}: threshold {} asked for, but only pairs with a "
        "correlation of at least {} were kept (match again with a lower floor)",
        in_quotes(matches.a.model), in_quotes(matches.b.model), threshold, matches.floor));
  }
  const auto usable_a = measurable(matches.a.active_tokens, matches.a.active_documents, limits);
  const auto usable_b = measurable(matches.b.active_tokens, matches.b.active_documents, limits);
  std::vector<FeaturePair> result;
  for (const FeaturePair& pair : matches.pairs) {
    if (pair.correlation >= threshold && usable_a[pair.feature_a] && usable_b[pair.feature_b]) {
      result.push_back(pair);
    }
  }
  return result;
}

MatchCounts count_matches(const Matches& matches, double threshold,
                          const MeasurableLimits& limits) {
  std::vector<uint8_t> matched_a(matches.a.feature_count(), 0);
  std::vector<uint8_t> matched_b(matches.b.feature_count(), 0);
  const std::vector<FeaturePair> pairs = measurable_pairs(matches, threshold, limits);
  for (const FeaturePair& pair : pairs) {
    matched_a[pair.feature_a] = 1;
    matched_b[pair.feature_b] = 1;
  }
  return {std::ssize(pairs), std::count(matched_a.begin(), matched_a.end(), 1),
          std::count(matched_b.begin(), matched_b.end(), 1)};
}

std::vector<uint8_t> thresholds_reached(const Matches& matches, bool of_a,
                                        const std::vector<double>& thresholds,
                                        const MeasurableLimits& limits) {
  std::vector<uint8_t> reached((of_a ? matches.a : matches.b).feature_count(), 0);
  if (thresholds.empty()) return reached;
  for (const FeaturePair& pair : measurable_pairs(matches, thresholds.front(), limits)) {
    const auto above = std::upper_bound(thresholds.begin(), thresholds.end(), pair.correlation);
    uint8_t& own = reached[of_a ? pair.feature_a : pair.feature_b];
    own = std::max(own, static_cast<uint8_t>(above - thresholds.begin()));
  }
  return reached;
}

void save_matches(const Matches& matches, const std::filesystem::path& folder,
                  const MeasurableLimits& limits) {
  create_folder(folder);
  const PairColumns pairs(matches.pairs);
  const PairColumns best_of_a(matches.best_of_a);
  const PairColumns best_of_b(matches.best_of_b);
  std::vector<TensorView> tensors;
  pairs.append_to(tensors, "");
  best_of_a.append_to(tensors, "best_of_a.");
  best_of_b.append_to(tensors, "best_of_b.");
  for (const auto& [name, side] : {std::pair("a", &matches.a), std::pair("b", &matches.b)}) {
    const std::vector<int64_t> shape = {side->feature_count()};
    tensors.push_back(
        tensor_view(fmt::format("active_tokens_{}", name), shape, side->active_tokens));
    if (!side->active_documents.empty()) {
      tensors.push_back(
          tensor_view(fmt::format("active_documents_{}", name), shape, side->active_documents));
    }
  }
  write_safetensors(folder / "matches.safetensors", tensors,
                    {{"model_a", matches.a.model},
                     {"model_b", matches.b.model},
                     {"corpus", matches.corpus},
                     {"corpora", Json(matches.corpora).dump()},
                     {"rows", fmt::format("{}", matches.row_count)},
                     {"floor", fmt::format("{}", matches.floor)}});

  std::string csv = "feature_a,feature_b,correlation\n";
  for (const FeaturePair& pair : matches.pairs) {
    fmt::format_to(std::back_inserter(csv), "{},{},{}\n", pair.feature_a, pair.feature_b,
                   pair.correlation);
  }
  write_file_atomic(folder / "matches.csv", csv);
  write_file_atomic(folder / "summary.json", summary(matches, limits));
}

Matches load_matches(const std::filesystem::path& folder_or_file) {
  const SafetensorsFile file(std::filesystem::is_directory(folder_or_file)
                                 ? folder_or_file / "matches.safetensors"
                                 : folder_or_file);
  Matches matches;
  matches.a = read_side(file, "a");
  matches.b = read_side(file, "b");
  matches.corpus = file.metadata("corpus");
  const Json corpora = parse_metadata(file, "corpora");
  const Json rows = parse_metadata(file, "rows");
  const Json floor = parse_metadata(file, "floor");
  if (!corpora.is_array() || !rows.is_number_integer() || !floor.is_number()) {
    throw Error(
        fmt::format("{}: metadata corpora, rows, floor are {}, {}, {}; expected a list, an "
                    "integer and a number",
                    file.path().string(), in_quotes(file.metadata("corpora")),
                    in_quotes(file.metadata("rows")), in_quotes(file.metadata("floor"))));
  }
  for (const Json& corpus : corpora) {
    if (corpus.is_string()) matches.corpora.push_back(corpus.get<std::string>());
  }
  matches.row_count = rows.get<int64_t>();
  matches.floor = floor.get<double>();
  const int64_t m_a = matches.a.feature_count(), m_b = matches.b.feature_count();
  matches.pairs = read_pairs(file, "", m_a, m_b);
  matches.best_of_a = read_pairs(file, "best_of_a.", m_a, m_b);
  matches.best_of_b = read_pairs(file, "best_of_b.", m_a, m_b);
  require_ascending(matches.pairs, file, "pairs", [](const FeaturePair& pair) {
    return std::tuple(pair.feature_a, pair.feature_b);
  });
  require_ascending(matches.best_of_a, file, "best_of_a",
                    [](const FeaturePair& pair) { return pair.feature_a; });
  require_ascending(matches.best_of_b, file, "best_of_b",
                    [](const FeaturePair& pair) { return pair.feature_b; });
  return matches;
}

}  // namespace featflow
