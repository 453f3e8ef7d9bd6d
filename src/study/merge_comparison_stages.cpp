#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "activations/harvest.hpp"
#include "autoencoder/saelens.hpp"
#include "features/retained_features.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json read_json(const fs::path& file) { return Json::parse(read_file(file)); }

// Whose activations are read through the parents' autoencoders: the merged model itself, the other
// methods' merges, and as baselines, without any merge, the common base and the parents.
struct Readers {
  std::vector<ModelSettings> merges;
  std::string base;  // empty: none
  std::vector<std::string> parents;

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const ModelSettings& merge : merges) all.push_back(merge.name);
    if (!base.empty()) all.push_back(base);
    all.insert(all.end(), parents.begin(), parents.end());
    return all;
  }
};

Readers readers_of(const Study& study, const ModelSettings& merged) {
  Readers readers;
  readers.merges = compared_merges(merged);
  readers.merges.insert(readers.merges.begin(), merged);
  readers.base = common_base(study, merged);
  readers.parents = merged.merge.parents;
  return readers;
}

Json count_json(const RetainedCount& count) {
  return {{"measurable", count.measurable},
          {"retained", count.retained},
          {"share", count.measurable ? Json(count.share()) : Json()},
          {"mean_correlation", count.measurable ? Json(count.mean_correlation) : Json()}};
}

// One parent's dictionary: reads other models through it, and counts which of the parent's features
// are there.
class ParentDictionary {
 public:
  ParentDictionary(const Study& study, const StageContext& context, const MatchingText& text,
                   std::string parent)
      : study_(study), context_(context), text_(text), parent_(std::move(parent)) {}

  // {"measurable", "retained", "share", "mean_correlation", "own_corpora": {the same}}. Kept in a
  // file until the stage is whole: each costs a pass over the text.
  Json retained_in(const std::string& other) {
    const fs::path file = context_.folder / fmt::format("{}--{}.progress", parent_, other);
    if (fs::exists(file)) return read_json(file);
    prepare();
    RetainedSums all(*own_);
    std::optional<RetainedSums> of_own_corpora;
    if (!own_rows_.empty()) of_own_corpora.emplace(*own_, own_rows_);
    stream(other, [&](const FeatureActivations& batch) {
      all.add(batch.rows);
      if (of_own_corpora) of_own_corpora->add(batch.rows);
    });
    const auto count = [&](const RetainedSums& sums) {
      return count_json(count_retained(sums, study_.matching.threshold, measurable_limits(study_)));
    };
    Json result = count(all);
    result["own_corpora"] = of_own_corpora ? count(*of_own_corpora) : Json();
    write_file_atomic(file, result.dump());
    return result;
  }

 private:
  // The parent through its own autoencoder, once.
  void prepare() {
    if (own_) return;
    autoencoder_ = load_saelens(context_.input("autoencoder/" + parent_)).autoencoder;
    stream(parent_, [&](FeatureActivations&& batch) {
      own_ ? append_rows(*own_, batch) : void(own_ = std::move(batch));
    });
    std::vector<std::string> corpora;
    for (const auto& [corpus, share] : study_.model(parent_).corpora) corpora.push_back(corpus);
    if (!corpora.empty()) own_rows_ = rows_of_corpora(*own_, corpora);
  }

  template <typename Visit>
  void stream(const std::string& model, const Visit& visit) const {
    HarvestConfig config;
    config.tap = study_.autoencoder.tap;
    config.block_size = study_.autoencoder.block_size;
    config.model_name = fmt::format("{} through {}'s autoencoder", model, parent_);
    config.autoencoder_name = parent_;
    stream_activations(Model(load_checkpoint(context_.input("model/" + model))), autoencoder_,
                       text_, config, [&](FeatureActivations batch) { visit(std::move(batch)); });
  }

  const Study& study_;
  const StageContext& context_;
  const MatchingText& text_;
  std::string parent_;
  Autoencoder autoencoder_;
  std::optional<FeatureActivations> own_;
  std::vector<uint8_t> own_rows_;  // [rows] of the corpora that the parent was fine-tuned on
};

Json accuracy_json(const StageContext& context, const std::string& model) {
  Json accuracy = Json::object();
  const Json evaluation = read_json(context.input("evaluation/" + model) / "evaluation.json");
  for (const auto& [corpus, scores] : evaluation.at("corpora").items()) {
    accuracy[corpus] = scores.at("accuracy");
  }
  return accuracy;
}

// What retained.json says of one merge, but for the features.
Json merge_facts(const StageContext& context, const ModelSettings& merge, bool own) {
  const Json facts = read_json(context.input("model/" + merge.name) / "merge.json");
  Json json = {{"name", merge.name},
               {"method", facts.at("method")},
               {"options", facts.at("options")},
               {"own", own},
               {"t", facts.at("t")},
               {"direction", facts.at("direction")},
               {"balance", nullptr},
               {"accuracy", accuracy_json(context, merge.name)},
               {"retained", Json::object()}};
  if (merge.merge.balanced()) {
    json["balance"] = read_json(context.input("sweep/" + merge.name) / "sweep.json").at("balance");
  }
  return json;
}

void add_retained(const Study& study, const ModelSettings& merged, StageGraph& graph) {
  const Readers readers = readers_of(study, merged);
  Stage stage;
  stage.kind = "retained";
  stage.name = merged.name;
  stage.inputs = {"matching_text/matching_text"};
  for (const std::string& parent : readers.parents) {
    stage.inputs.push_back("autoencoder/" + parent);
  }
  for (const std::string& name : readers.names()) {
    stage.inputs.insert(stage.inputs.end(), {"model/" + name, "evaluation/" + name});
  }
  Json names = Json::array();
  for (const ModelSettings& merge : readers.merges) {
    names.push_back(merge.name);
    if (merge.merge.balanced()) stage.inputs.push_back("sweep/" + merge.name);
  }
  Json own_corpora = Json::object();
  for (const std::string& parent : readers.parents) {
    own_corpora[parent] = study.model(parent).corpora;
  }
  stage.config = Json{{"merges", names},
                      {"parents", readers.parents},
                      {"own_corpora", own_corpora},
                      {"base", readers.base},
                      {"tokens", merged.merge.retained_tokens},
                      {"threshold", study.matching.threshold},
                      {"minimum_tokens", study.matching.minimum_tokens},
                      {"minimum_documents", study.matching.minimum_documents},
                      {"tap", study.autoencoder.tap},
                      {"block_size", study.autoencoder.block_size}}
                     .dump();
  const int64_t n = tap_width(study.architecture, study.autoencoder.tap);
  const int64_t tokens = std::min(merged.merge.retained_tokens, study.matching.tokens);
  const int64_t m = n * study.autoencoder.training.expansion;
  stage.estimated_seconds =
      2.0 * static_cast<double>(readers.names().size()) *
      (encoding_seconds(n, m, tokens) + forward_seconds(study.architecture, tokens));
  stage.estimated_memory =
      2 * activations_memory(tokens) + 8 * n * m + 2 * 4 * study.architecture.parameter_count();
  stage.run = [&study, &merged, readers](const StageContext& context) {
    const MatchingText all = load_matching_text(context.input("matching_text/matching_text"));
    const MatchingText text = first_tokens(
        all, std::max<int64_t>(1, merged.merge.retained_tokens / std::ssize(all.corpus_names)));
    Json merges = Json::array(), baselines = Json::array();
    for (const ModelSettings& merge : readers.merges) {
      merges.push_back(merge_facts(context, merge, merge.name == merged.name));
    }
    const auto add_baseline = [&](const std::string& name, const char* kind) {
      baselines.push_back({{"name", name},
                           {"kind", kind},
                           {"accuracy", accuracy_json(context, name)},
                           {"retained", Json::object()}});
    };
    if (!readers.base.empty()) add_baseline(readers.base, "base");
    for (const std::string& parent : readers.parents) add_baseline(parent, "parent");

    for (const std::string& parent : readers.parents) {
      ParentDictionary dictionary(study, context, text, parent);
      for (Json* list : {&merges, &baselines}) {
        for (Json& other : *list) {
          if (other["name"] == parent) continue;
          other["retained"][parent] = dictionary.retained_in(other["name"]);
        }
      }
    }
    const Json json = {{"model", merged.name},
                       {"parents", readers.parents},
                       {"base", readers.base.empty() ? Json() : Json(readers.base)},
                       {"threshold", study.matching.threshold},
                       {"min_tokens", study.matching.minimum_tokens},
                       {"min_documents", study.matching.minimum_documents},
                       {"tokens", text.tokens.size()},
                       {"corpora", text.corpus_names},
                       {"methods", merges},
                       {"baselines", baselines}};
    write_file_atomic(context.folder / "retained.json", json.dump(2) + "\n");
    for (const std::string& parent : readers.parents) {
      for (const std::string& other : readers.names()) {
        fs::remove(context.folder / fmt::format("{}--{}.progress", parent, other));
      }
    }
  };
  graph.add(std::move(stage));
}

}  // namespace

std::vector<ModelSettings> compared_merges(const ModelSettings& merged) {
  std::vector<ModelSettings> others;
  for (const std::string& method : merged.merge.compare) {
    ModelSettings other = merged;
    other.name = merged.name + "+" + method;  // no name of the study has a plus sign
    other.merge.method = method;
    other.merge.t = -1;
    other.merge.scale = -1;
    other.merge.density = merged.merge.compare_density;
    other.merge.compare.clear();
    const bool known = method == merged.merge.method ||
                       std::ranges::find(others, other.name, &ModelSettings::name) != others.end();
    if (!known) others.push_back(std::move(other));
  }
  return others;
}

// Other methods on the parents of a merged model, and which of the parents' features each keeps.
void add_merge_comparison_stages(const Study& study, StageGraph& graph) {
  for (const ModelSettings& merged : study.models) {
    if (!merged.merged() || merged.merge.compare.empty()) continue;
    for (const ModelSettings& other : compared_merges(merged)) {
      add_merged_model(study, other, graph);
      add_model_evaluation(study, other, graph);
    }
    add_retained(study, merged, graph);
  }
}

}  // namespace featflow
