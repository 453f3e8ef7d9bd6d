#include "report/pairs_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/interrupt.hpp"
#include "features/columns.hpp"
#include "features/example_text.hpp"
#include "features/top_examples.hpp"
#include "matching/pair_ratings.hpp"
#include "report/payload.hpp"
#include "report/report_template.hpp"
#include "report/report_text.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// An active token of a feature: among the strongest (interval 0), or in the i-th of equal
/// intervals of its active tokens by strength.
struct PickedExample {
  int64_t interval = 0;
  int32_t row = 0;
};

/// The sampled features of one model: where they are active, and twice as many examples as a
/// feature is shown with.
struct ModelFeatures {
  std::vector<int32_t> numbers;  ///< Ascending; column i is that of numbers[i].
  FeatureColumns columns;
  std::vector<FeatureExamples> examples;

  size_t index_of(int32_t feature) const {
    return static_cast<size_t>(std::ranges::lower_bound(numbers, feature) - numbers.begin());
  }
  Column column(int32_t feature) const {
    return columns.column(static_cast<int64_t>(index_of(feature)));
  }
  std::vector<PickedExample> picked(int32_t feature) const {
    const FeatureExamples& found = examples[index_of(feature)];
    std::vector<PickedExample> rows;
    for (const Example& example : found.top) rows.push_back({0, example.row});
    for (size_t i = 0; i < found.intervals.size(); ++i) {
      for (const Example& example : found.intervals[i]) {
        rows.push_back({static_cast<int64_t>(i) + 1, example.row});
      }
    }
    return rows;
  }
};

/// A feature as it is shown: its column and the scale of its activations.
struct ShownFeature {
  Column column;
  float maximum = 0;
  std::vector<PickedExample> picked;
};

class PairsBuilder {
 public:
  explicit PairsBuilder(const PairsPage& page)
      : page_(page), text_(ReportText::load(page.tokens, page.tokenizer)) {
    load_features();
  }

  /// {"left": [EXAMPLE…], "right": [EXAMPLE…], "same_text": [EXAMPLE…]}: a pair without its id.
  /// Every second example stands on its own, so that each feature is read by itself; of the others
  /// every second is shown with the activations of both features, so that they are compared.
  Json pair(const SampledPair& sampled) const {
    const auto& [parent, child] = page_.edges[static_cast<size_t>(sampled.edge)];
    ShownFeature left = shown(parent, sampled.pair.feature_a);
    ShownFeature right = shown(child, sampled.pair.feature_b);
    if (!sampled.parent_left) std::swap(left, right);
    Json json = {{"left", Json::array()}, {"right", Json::array()}, {"same_text", Json::array()}};
    for (const auto& [side, own] : {std::pair("left", &left), std::pair("right", &right)}) {
      for (size_t i = 0; i < own->picked.size(); ++i) {
        const TextWindow window = window_of(own->picked[i]);
        const std::span<const int32_t> tokens = tokens_in(text_.shard, window);
        Json example = {{"interval", own->picked[i].interval},
                        {"peak", window.peak - window.begin},
                        {"tokens", std::vector<int32_t>(tokens.begin(), tokens.end())}};
        if (i % 2 == 0) {
          example["levels"] = levels(*own, window);
          json[side].push_back(std::move(example));
        } else if (i % 4 == 1) {
          example["peak_of"] = side;
          example["left_levels"] = levels(left, window);
          example["right_levels"] = levels(right, window);
          json["same_text"].push_back(std::move(example));
        }
      }
    }
    return json;
  }

  /// The same with the text of tokens in place of their ids.
  Json spelled_out(Json pair) const {
    for (const char* part : {"left", "right", "same_text"}) {
      for (Json& example : pair[part]) {
        for (Json& token : example["tokens"]) token = text_.vocabulary[token.get<size_t>()];
      }
    }
    return pair;
  }

  int64_t intervals() const { return std::max<int64_t>(1, page_.examples / 2); }
  const std::vector<std::string>& vocabulary() const { return text_.vocabulary; }

 private:
  void load_features() {
    std::map<std::string, std::vector<int32_t>> wanted;
    for (const SampledPair& sampled : page_.sample.pairs) {
      const auto& [parent, child] = page_.edges[static_cast<size_t>(sampled.edge)];
      wanted[parent].push_back(sampled.pair.feature_a);
      wanted[child].push_back(sampled.pair.feature_b);
    }
    const int64_t spread = page_.examples / 2;
    const ExampleOptions options{.top = 2 * (page_.examples - spread),
                                 .intervals = intervals(),
                                 .per_interval = spread > 0 ? 2 : 0,
                                 .histogram_bins = 1};
    std::string corpus;
    for (auto& [model, numbers] : wanted) {  // one model's activations in memory at a time
      throw_if_interrupted();
      std::ranges::sort(numbers);
      numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
      const std::filesystem::path& file = page_.activations.at(model);
      const FeatureActivations activations = load_feature_activations(file);
      text_.check(activations, file);
      if (token_positions_.empty()) {
        token_positions_ = activations.token_positions;
        corpus = activations.corpus;
      }
      if (corpus != activations.corpus || token_positions_ != activations.token_positions) {
        throw Error(
            fmt::format("{}: encoded on another text than the models before it", file.string()));
      }
      if (numbers.back() >= activations.rows.feature_count) {
        throw Error(fmt::format("{}: {} features, but its matches name feature {}", file.string(),
                                activations.rows.feature_count, numbers.back()));
      }
      ModelFeatures& features = models_[model];
      features.columns = transpose(keep_features(activations.rows, numbers));
      features.examples = feature_examples(features.columns, activations.documents, options);
      features.numbers = std::move(numbers);
    }
  }

  ShownFeature shown(const std::string& model, int32_t feature) const {
    const ModelFeatures& features = models_.at(model);
    const Column column = features.column(feature);
    const auto maximum = std::ranges::max_element(column.values);
    return {column, maximum == column.values.end() ? 0 : *maximum, features.picked(feature)};
  }

  TextWindow window_of(const PickedExample& example) const {
    return window_around(text_.shard, token_positions_[static_cast<size_t>(example.row)],
                         page_.context, page_.context);
  }

  /// [offset, level, offset, level …], as in the report.
  Json levels(const ShownFeature& feature, const TextWindow& window) const {
    Json flat = Json::array();
    for (const auto& [offset, value] : activations_in(feature.column, token_positions_, window)) {
      flat.push_back(offset);
      flat.push_back(activation_level(value, feature.maximum));
    }
    return flat;
  }

  const PairsPage& page_;
  ReportText text_;
  std::vector<int64_t> token_positions_;
  std::map<std::string, ModelFeatures> models_;
};

/// The keys with their ids: "3f9a1c-001". The first part is that of the export, so that ratings are
/// not scored with the key of another one; it says nothing of what it was made from.
std::vector<PairKey> keys_of(const PairsPage& page) {
  std::vector<PairKey> keys;
  Hasher hash;
  for (const SampledPair& sampled : page.sample.pairs) {
    const auto& [parent, child] = page.edges[static_cast<size_t>(sampled.edge)];
    keys.push_back({.id = "",
                    .edge = parent + "--" + child,
                    .band = page.sample.bands[static_cast<size_t>(sampled.band)].name(),
                    .feature_parent = sampled.pair.feature_a,
                    .feature_child = sampled.pair.feature_b,
                    .correlation = sampled.pair.correlation,
                    .parent_left = sampled.parent_left});
    hash.field(keys.back().edge);
    hash.field(fmt::format("{} {} {} {}", sampled.pair.feature_a, sampled.pair.feature_b,
                           sampled.pair.correlation, sampled.parent_left));
  }
  const std::string name = hash.hex().substr(0, 6);
  for (size_t i = 0; i < keys.size(); ++i) keys[i].id = fmt::format("{}-{:03}", name, i + 1);
  return keys;
}

}  // namespace

void write_pairs(const PairsPage& page, const std::filesystem::path& folder) {
  FEATFLOW_CHECK(page.examples > 0 && page.context >= 0, "examples and their context");
  const std::vector<PairKey> keys = keys_of(page);
  const PairsBuilder builder(page);
  Payload payload;
  const int64_t overview = payload.reserve();
  const int64_t vocabulary = payload.add(Json(builder.vocabulary()));
  std::string lines;
  Json shown = Json::array();
  for (size_t i = 0; i < keys.size(); ++i) {
    const Json pair = builder.pair(page.sample.pairs[i]);
    shown.push_back({{"id", keys[i].id}, {"chunk", payload.add(pair)}});
    Json line = {{"id", keys[i].id}};
    line.update(builder.spelled_out(pair));
    lines += compact_json(line) + "\n";
  }
  payload.set(overview,
              {{"vocabulary", vocabulary}, {"intervals", builder.intervals()}, {"pairs", shown}});
  create_folder(folder);
  write_file_atomic(folder / "pairs.html", payload.page(pairs_template()));
  write_file_atomic(folder / "pairs.jsonl", lines);
  save_pair_keys(keys, folder / "key.csv");
}

}  // namespace featflow
