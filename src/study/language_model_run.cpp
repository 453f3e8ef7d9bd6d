#include "study/language_model_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "activations/matching_text.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
#include "storage/files.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

void require_member(const Study& study, const std::string& model) {
  std::vector<std::string> names;
  for (const ModelSettings& member : study.family()) names.push_back(member.name);
  if (std::ranges::find(names, model) != names.end()) return;
  throw Error(fmt::format("no model {} in study {}; {}", in_quotes(model), study.name,
                          expected_name(model, names)));
}

}  // namespace

fs::path language_model_folder(const fs::path& run) { return run / "language_model"; }

fs::path language_model_explanations_file(const fs::path& run, const std::string& model) {
  return language_model_folder(run) / model / "language_model_explanations.json";
}

fs::path current_language_model_explanations(const fs::path& run, const std::string& model) {
  const fs::path file = language_model_explanations_file(run, model);
  if (!fs::exists(file)) return {};
  const auto said = nlohmann::json::parse(read_file(file), nullptr, false);
  const auto activations = read_artifact(run / "activations" / model);
  if (said.is_object() && activations && said.contains("activations") &&
      said["activations"] == activations->fingerprint()) {
    return file;
  }
  log_warning(
      fmt::format("{}: of features that are no more; not used. featflow explain {} "
                  "--language-model --of {} explains the present ones",
                  file.string(), run.string(), model));
  return {};
}

std::vector<int32_t> features_by_class(const fs::path& flow_json, const std::string& model,
                                       int64_t per_class, Rng& rng) {
  std::set<int32_t> chosen;
  try {
    const auto flow = nlohmann::json::parse(read_file(flow_json));
    const auto draw = [&](const nlohmann::json& list) {
      auto features = list.get<std::vector<int32_t>>();
      rng.shuffle(features);
      const auto count = std::min<int64_t>(std::max<int64_t>(0, per_class), std::ssize(features));
      chosen.insert(features.begin(), features.begin() + count);
    };
    for (const auto& edge : flow.at("family")) {
      if (edge.at("parent") == model) {
        draw(edge.at("parent_features").at("persisting"));
        draw(edge.at("parent_features").at("disappearing"));
      }
      if (edge.at("child") == model) draw(edge.at("child_features").at("emerging"));
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: not a flow: {}", flow_json.string(), error.what()));
  }
  return {chosen.begin(), chosen.end()};
}

LanguageModelExplanations run_language_model_explanations(const SavedStudy& saved,
                                                          const fs::path& run,
                                                          const LanguageModelRunOptions& options) {
  const Study& study = saved.study;
  require_member(study, options.model);
  const fs::path folder = language_model_folder(run);
  LanguageModelExplainOptions explain = options.explain;
  explain.seed = explain.model.seed = study.seed;
  explain.model.replies = folder / "replies.jsonl";
  explain.out = language_model_explanations_file(run, options.model);

  std::vector<int32_t> features = options.features;
  if (features.empty()) {
    Rng rng(study.seed, "features for a language model/" + options.model);
    features = features_by_class(stage_folder(run, "flow/flow", "flow") / "flow.json",
                                 options.model, options.per_class, rng);
    if (features.empty()) {
      throw Error(
          fmt::format("no feature of {} persists, disappears or emerges on an edge; name "
                      "features by their numbers",
                      in_quotes(options.model)));
    }
  }
  const MatchingText text =
      load_matching_text(stage_folder(run, "matching_text/matching_text", "activations"));
  const Tokenizer tokenizer =
      Tokenizer::load(stage_folder(run, "tokenizer/tokenizer", "activations"));
  const fs::path active = stage_folder(run, "activations/" + options.model, "activations");
  const FeatureActivations activations = load_feature_activations(active);
  const LanguageModelSource source = {activations, text.tokens,
                                      [&](int32_t token) { return tokenizer.token_bytes(token); },
                                      read_artifact(active)->fingerprint()};

  const RunLock lock(folder);  // one writer of the store
  if (options.confirm && !options.confirm(estimate_language_model(source, features, explain))) {
    return {};
  }
  create_folder(explain.out.parent_path());
  return explain_by_language_model(source, features, explain);
}

}  // namespace featflow
