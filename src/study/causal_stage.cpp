#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "activations/causal_check.hpp"
#include "core/median.hpp"
#include "core/rng.hpp"
#include "flow/edge_sample.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/hypotheses.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* kClasses[] = {"persisting", "disappearing", "emerging", "case_study",
                                    "found_again"};

struct ClassifiedPair {
  std::string feature_class;
  std::string hypothesis;  // of a case study
  CausalPair pair;
};

// Features of each class on the edge whose matches are in `folder`, on all rows.
EdgeSample sampled_features(const Study& study, const std::filesystem::path& folder, Rng rng) {
  FlowOptions options;
  options.threshold = study.matching.threshold;
  options.limits = measurable_limits(study);
  const Matches matches = load_matches(folder);
  return sample_edge(edge_flow(matches, options), matches, options.limits,
                     study.controls.causal_features, rng);
}

void append(const char* feature_class, const std::vector<FeaturePair>& found,
            std::vector<ClassifiedPair>& pairs) {
  for (const FeaturePair& pair : found) {
    pairs.push_back({feature_class, {}, {pair.feature_a, pair.feature_b, pair.correlation}});
  }
}

std::vector<ClassifiedPair> sampled_pairs(const Study& study, const StageContext& context,
                                          const std::string& parent, const std::string& child,
                                          uint64_t seed) {
  const EdgeSample sample = sampled_features(
      study, context.input("matching/" + edge_name(parent, child)), Rng(seed, "features"));
  std::vector<ClassifiedPair> pairs;
  append("persisting", sample.persisting, pairs);
  append("disappearing", sample.disappearing, pairs);
  append("emerging", sample.emerging, pairs);
  return pairs;
}

// What two autoencoders of one model make of a match: features of the parent with their best match
// in its second autoencoder P′ (definitions 14).
std::vector<ClassifiedPair> found_again_pairs(const Study& study, const StageContext& context,
                                              const std::string& parent, const std::string& second,
                                              uint64_t seed) {
  const EdgeSample sample = sampled_features(
      study, context.input("matching/" + edge_name(parent, second)), Rng(seed, "found again"));
  std::vector<ClassifiedPair> pairs;
  append("found_again", sample.persisting, pairs);
  return pairs;
}

// The best feature of each end for every hypothesis for which both have one.
std::vector<ClassifiedPair> case_study_pairs(const std::filesystem::path& file,
                                             const std::string& parent, const std::string& child) {
  std::vector<ClassifiedPair> pairs;
  for (const json& study : json::parse(read_file(file))) {
    const auto feature_of = [&](const std::string& name) {
      const auto model = std::ranges::find_if(study.at("models"),
                                              [&](const json& m) { return m.at("model") == name; });
      return model == study.at("models").end() ? json() : model->at("feature");
    };
    const json j = feature_of(parent), k = feature_of(child);
    if (j.is_null() || k.is_null()) continue;
    double correlation = kUnknown;
    for (const json& edge : study.at("edges")) {
      if (edge.at("parent") != parent || edge.at("child") != child) continue;
      if (!edge.at("correlation").is_null()) correlation = edge.at("correlation");
    }
    pairs.push_back({"case_study", study.at("hypothesis"), {j, k, correlation}});
  }
  return pairs;
}

json to_json(const RemovalEffect& effect) {
  return {{"active_tokens", effect.active_tokens}, {"mean_change", effect.mean_change},
          {"positions", effect.positions},         {"total_change", effect.total_change},
          {"promoted", effect.tokens.promoted},    {"suppressed", effect.tokens.suppressed}};
}

json to_json(const ClassifiedPair& pair, const CausalResult& result) {
  json row = {{"class", pair.feature_class}};
  if (!pair.hypothesis.empty()) row["hypothesis"] = pair.hypothesis;
  row.update({{"parent_feature", result.pair.parent},
              {"child_feature", result.pair.child},
              {"correlation", result.pair.correlation},
              {"blocks", result.blocks},
              {"tokens", result.tokens},
              {"effect_correlation", result.effect_correlation},
              {"cosine", result.cosine},
              {"logit_correlation", result.logit_correlation},
              {"matched", result.matched},
              {"flagged", result.flagged},
              {"parent", to_json(result.parent)},
              {"child", to_json(result.child)}});
  return row;
}

json class_json(std::span<const ClassifiedPair> pairs, std::span<const CausalResult> results,
                const std::string& feature_class) {
  std::vector<const CausalResult*> chosen;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].feature_class == feature_class) chosen.push_back(&results[i]);
  }
  const auto median_of = [&](const auto& figure) {
    std::vector<double> values;
    for (const CausalResult* result : chosen) values.push_back(figure(*result));
    const double middle = median(std::move(values));
    return std::isnan(middle) ? json(nullptr) : json(middle);
  };
  const int64_t matched = std::ranges::count_if(chosen, &CausalResult::matched);
  const int64_t flagged = std::ranges::count_if(chosen, &CausalResult::flagged);
  json share;
  if (matched > 0) share = static_cast<double>(flagged) / static_cast<double>(matched);
  return {
      {"pairs", chosen.size()},
      {"matched", matched},
      {"flagged", flagged},
      {"flagged_share", share},
      {"median_correlation", median_of([](const auto& r) { return r.pair.correlation; })},
      {"median_effect_correlation", median_of([](const auto& r) { return r.effect_correlation; })},
      {"median_cosine", median_of([](const auto& r) { return r.cosine; })},
      {"median_logit_correlation", median_of([](const auto& r) { return r.logit_correlation; })},
      {"median_change_parent", median_of([](const auto& r) { return r.parent.mean_change; })},
      {"median_change_child", median_of([](const auto& r) { return r.child.mean_change; })}};
}

void add_edge(const Study& study, const std::string& parent, const std::string& child,
              StageGraph& graph) {
  const bool case_studies = !study.case_studies.tokens.empty();
  const bool ceiling = names_edge(study.controls.ceilings, parent, child);
  const AutoencoderVariant own = own_autoencoder(study, parent);
  const AutoencoderVariant second = further_autoencoder(study, parent, child);
  const CausalConfig config = causal_config(study, parent, child);

  Stage stage;
  stage.kind = "causal";
  stage.version = 3;
  stage.name = parent + "--" + child;
  stage.config = nlohmann::json{
      {"features", study.controls.causal_features},
      {"blocks", config.blocks},
      {"tap", config.tap},
      {"block_size", config.block_size},
      {"threshold", config.threshold},
      {"minimum_tokens", study.matching.minimum_tokens},
      {"minimum_documents", study.matching.minimum_documents},
      {"seed",
       config.seed}}.dump();
  for (const std::string& model : {parent, child}) {
    for (const char* kind : {"model/", "autoencoder/", "activations/"}) {
      stage.inputs.push_back(kind + model);
    }
  }
  stage.inputs.insert(stage.inputs.end(),
                      {"matching/" + edge_name(parent, child), "matching_text/matching_text"});
  if (case_studies) stage.inputs.emplace_back("case_studies/case_studies");
  if (ceiling) {
    stage.inputs.insert(stage.inputs.end(),
                        {"autoencoder/" + second.name, "activations/" + second.name,
                         "matching/" + edge_name(parent, second.name)});
  }
  // Two passes for either end of a pair.
  const int64_t pair_count =
      (ceiling ? 4 : 3) * study.controls.causal_features + std::ssize(study.case_studies.tokens);
  stage.estimated_seconds =
      2 + forward_seconds(study.architecture, 4 * pair_count * config.blocks * config.block_size);
  stage.estimated_bytes = pair_count * 1500;
  stage.estimated_memory =  // weights of both ends, as read and in use; activations as read
      4 * activations_memory(study.matching.tokens) + 16 * study.architecture.parameter_count();
  stage.run = [=, &study](const StageContext& context) {
    std::vector<ClassifiedPair> pairs = sampled_pairs(study, context, parent, child, config.seed);
    if (case_studies) {
      const auto file = context.input("case_studies/case_studies") / "case_studies.json";
      std::ranges::move(case_study_pairs(file, parent, child), std::back_inserter(pairs));
    }
    const auto check = [&](const AutoencoderVariant& other,
                           const std::vector<ClassifiedPair>& classified) {
      std::vector<CausalPair> features;
      for (const ClassifiedPair& pair : classified) features.push_back(pair.pair);
      return causal_results(study, context.input, own, other, features);
    };
    std::vector<CausalResult> results = check(own_autoencoder(study, child), pairs);
    if (ceiling) {
      auto again = found_again_pairs(study, context, parent, second.name, config.seed);
      std::ranges::move(check(second, again), std::back_inserter(results));
      std::ranges::move(again, std::back_inserter(pairs));
    }

    json classes = json::object(), rows = json::array();
    for (const char* name : kClasses) classes[name] = class_json(pairs, results, name);
    for (size_t i = 0; i < pairs.size(); ++i) rows.push_back(to_json(pairs[i], results[i]));
    const json out = {{"parent", parent},
                      {"child", child},
                      {"tap", config.tap},
                      {"threshold", config.threshold},
                      {"block_size", config.block_size},
                      {"blocks", config.blocks},
                      {"effect_correlation_bar", kEffectCorrelationBar},
                      {"cosine_bar", kCosineBar},
                      {"classes", std::move(classes)},
                      {"pairs", std::move(rows)}};
    // A hypothesis may hold a part of a UTF-8 sequence.
    write_file_atomic(context.folder / "causal.json",
                      out.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace

// Definitions 18, for every edge of the family.
void add_causal_stages(const Study& study, StageGraph& graph) {
  if (study.controls.causal_features == 0) return;
  for (const auto& [parent, child] : study.edges()) add_edge(study, parent, child, graph);
}

}  // namespace featflow
