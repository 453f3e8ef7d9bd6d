#include "report/neuronpedia_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "features/columns.hpp"
#include "features/example_text.hpp"
#include "features/statistics.hpp"
#include "features/top_examples.hpp"
#include "report/payload.hpp"
#include "report/report_text.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Features transposed at a time.
constexpr int64_t kBlock = 32 * kNeuronpediaBatch;
constexpr int64_t kIntervals = 5;

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// The double with the float's shortest decimals: 0.1, not 0.10000000149011612.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

/// Cut to the length that Neuronpedia takes, which JavaScript counts in UTF-16.
std::string fitting(const std::string& text) {
  size_t units = 0, fits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0u) == 0x80u) continue;          // within a character
    if (units < kNeuronpediaExplanation) fits = i;  // with room for the ellipsis
    units += byte >= 0xF0u ? 2 : 1;
    if (units > kNeuronpediaExplanation) return text.substr(0, fits) + "…";
  }
  return text;
}

/// Deletes an earlier export's batches, of which there may have been more.
void remove_batches(const fs::path& folder) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("batch-") && name.ends_with(".json")) stale.push_back(entry.path());
  }
  for (const fs::path& file : stale) fs::remove(file);
}

class Exporter {
 public:
  Exporter(const NeuronpediaExport& features, const FeatureActivations& activations)
      : features_(features),
        activations_(activations),
        statistics_(feature_statistics(activations)),
        text_(ReportText::load(features.tokens, features.tokenizer)) {
    text_.check(activations, features.activations);
    for (size_t id = 0; id < text_.vocabulary.size(); ++id) {
      if (text_.vocabulary[id].empty()) text_.vocabulary[id] = fmt::format("<{}>", id);
    }
  }

  int64_t feature_count() const { return activations_.rows.feature_count; }
  bool silent(int64_t feature) const {
    return statistics_.active_tokens[static_cast<size_t>(feature)] == 0;
  }

  Json feature(int32_t index, const Column& column, const FeatureExamples& found) const {
    Json json = {{"index", index}, {"density", statistics_.density(index)}};
    Json& activations = json["activations"] = Json::array();
    for (const Example& example : found.top) activations.push_back(activation(column, example));
    if (std::ranges::all_of(found.intervals, &std::vector<Example>::empty)) return json;
    std::vector<float> ranked(column.values.begin(), column.values.end());
    std::ranges::sort(ranked, std::greater());
    const int64_t count = std::ssize(ranked);
    for (int64_t i = 0; i < kIntervals; ++i) {
      const int64_t begin = count * i / kIntervals, end = count * (i + 1) / kIntervals;
      for (const Example& example : found.intervals[static_cast<size_t>(i)]) {
        Json one = activation(column, example);
        one["quantileMin"] = shortest(ranked[static_cast<size_t>(end - 1)]);
        one["quantileMax"] = shortest(ranked[static_cast<size_t>(begin)]);
        one["quantileFraction"] = static_cast<double>(end - begin) / static_cast<double>(count);
        activations.push_back(std::move(one));
      }
    }
    return json;
  }

  Json logits(const std::vector<TokenLogit>& tokens) const {
    Json json = Json::array();
    for (const TokenLogit& logit : tokens) {
      if (std::ssize(json) == kNeuronpediaLogits) break;
      json.push_back({{"token", text_.vocabulary.at(static_cast<size_t>(logit.token))},
                      {"value", shortest(logit.value)}});
    }
    return json;
  }

  Json explanations(int32_t index) const {
    Json json = Json::array();
    const auto found = features_.explanations.find(index);
    if (found == features_.explanations.end()) return json;
    for (const std::string& text : found->second) {
      // Neuronpedia refuses names of methods and models that it does not know.
      json.push_back({{"text", fitting(text)}, {"methodName", nullptr}, {"modelName", nullptr}});
    }
    return json;
  }

 private:
  Json activation(const Column& column, const Example& example) const {
    const TextWindow window =
        window_around(text_.shard, activations_.token_positions[static_cast<size_t>(example.row)],
                      features_.context, features_.context);
    std::vector<std::string> tokens;
    for (const int32_t id : tokens_in(text_.shard, window)) {
      tokens.push_back(text_.vocabulary[static_cast<size_t>(id)]);
    }
    std::vector<double> values(tokens.size());
    for (const auto& [offset, value] :
         activations_in(column, activations_.token_positions, window)) {
      values[static_cast<size_t>(offset)] = shortest(value);
    }
    return {{"tokens", tokens},
            {"values", values},
            {"quantileMin", nullptr},
            {"quantileMax", nullptr},
            {"quantileFraction", nullptr}};
  }

  const NeuronpediaExport& features_;
  const FeatureActivations& activations_;
  FeatureStatistics statistics_;
  ReportText text_;
};

}  // namespace

void add_explanations(const fs::path& file, const std::string& text_key, int64_t feature_count,
                      FeatureExplanations& explanations) {
  const auto refuse = [&](const std::string& what) {
    throw Error(
        fmt::format("{}: {}; expected {{\"features\": [{{\"feature\": number, \"{}\": "
                    "text}}]}}",
                    file.string(), what, text_key));
  };
  const Json json = Json::parse(read_file(file), nullptr, false);
  if (json.is_discarded()) refuse("no JSON");
  if (!json.is_object() || !json.contains("features") || !json["features"].is_array()) {
    refuse("no list of features");
  }
  for (const Json& entry : json["features"]) {
    if (!entry.is_object() || !entry.contains("feature") || !entry["feature"].is_number_integer()) {
      refuse("an entry without the number of its feature");
    }
    const auto feature = entry["feature"].get<int64_t>();
    if (feature < 0 || feature >= feature_count) {
      throw Error(fmt::format("{}: feature {}, but the model has {} features", file.string(),
                              feature, feature_count));
    }
    if (!entry.contains(text_key) || !entry[text_key].is_string()) continue;
    auto text = entry[text_key].get<std::string>();
    if (!text.empty()) explanations[static_cast<int32_t>(feature)].push_back(std::move(text));
  }
}

NeuronpediaSize write_neuronpedia(const NeuronpediaExport& features, const fs::path& folder) {
  FEATFLOW_CHECK(features.examples > 0 && features.context >= 0 &&
                     2 * features.context + 1 <= kNeuronpediaTokens,
                 "examples and their context");
  const FeatureActivations activations = load_feature_activations(features.activations);
  const Exporter exporter(features, activations);
  const int64_t spread = features.examples / 2 / kIntervals;  // of each interval
  const ExampleOptions options{.top = features.examples - kIntervals * spread,
                               .intervals = kIntervals,
                               .per_interval = spread,
                               .histogram_bins = 1};
  create_folder(folder);
  remove_batches(folder);
  NeuronpediaSize size;
  Json batch = Json::array();
  std::vector<int32_t> indices;
  const auto write_batch = [&] {
    if (batch.empty()) return;
    throw_if_interrupted();
    const std::vector<FeatureLogits> logits =
        features.logits ? features.logits(indices) : std::vector<FeatureLogits>();
    for (size_t i = 0; i < indices.size(); ++i) {
      if (features.logits) {
        batch[i]["topLogits"] = exporter.logits(logits.at(i).top);
        batch[i]["bottomLogits"] = exporter.logits(logits.at(i).bottom);
      }
      batch[i]["explanations"] = exporter.explanations(indices[i]);
      if (!batch[i]["explanations"].empty()) ++size.explained;
    }
    const fs::path file = folder / fmt::format("batch-{:04}.json", size.files.size());
    write_file_atomic(file, compact_json({{"modelId", lower_case(features.model_id)},
                                          {"source", lower_case(features.source)},
                                          {"features", std::move(batch)}}));
    size.files.push_back(file);
    size.features += std::ssize(indices);
    batch = Json::array();
    indices.clear();
  };

  for (int64_t block = 0; block < exporter.feature_count(); block += kBlock) {
    const int64_t end = std::min(block + kBlock, exporter.feature_count());
    const FeatureColumns columns =
        transpose(activations.rows,
                  {.first_feature = block, .end_feature = end, .mask = {}, .row_order = {}});
    const std::vector<FeatureExamples> found =
        feature_examples(columns, activations.documents, options);
    for (int64_t j = block; j < end; ++j) {
      if (exporter.silent(j)) {
        ++size.silent;
        continue;
      }
      indices.push_back(static_cast<int32_t>(j));
      batch.push_back(exporter.feature(indices.back(), columns.column(j),
                                       found[static_cast<size_t>(j - block)]));
      if (std::ssize(batch) == kNeuronpediaBatch) write_batch();
    }
  }
  write_batch();
  return size;
}

}  // namespace featflow
