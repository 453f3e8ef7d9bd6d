#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/explain_language_model.hpp"
#include "cli/results.hpp"
#include "core/error.hpp"
#include "features/feature_name.hpp"
#include "storage/files.hpp"
#include "study/hypotheses.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct ExplainOptions {
  std::string run;
  std::vector<std::string> features, hypotheses;
  bool no_causal = false;
};

std::string number(const Json& value, int digits = 2) {
  return value.is_null() ? "–" : fmt::format("{:.{}f}", value.get<double>(), digits);
}

Json read_explanations(const StageGraph& graph, const fs::path& run, const std::string& model) {
  return Json::parse(read_file(graph.folder(run, "explanations/" + model) / "explanations.json"));
}

void print_row(const std::string& name, const Json& summary) {
  fmt::print("{:<24} {:>9} {:>8} {:>7} {:>9} {:>7} {:>9}\n", name,
             summary.at("explained").get<int64_t>(), summary.at("skipped").get<int64_t>(),
             number(summary.at("median_score")), number(summary.at("median_token_score")),
             number(summary.at("median_ratio")),
             summary.at("share_at_half").is_null()
                 ? "–"
                 : fmt::format("{:.0f}%", 100 * summary.at("share_at_half").get<double>()));
}

void print_groups(const std::string& name, const Json& shares) {
  fmt::print("{:<44}", name);
  for (const auto& [group, share] : shares.items()) {
    fmt::print(" {:>4.0f}% {}", 100 * share.get<double>(), group);
  }
  fmt::print("\n");
}

// The scores of every model's rules, beside what they must be compared with.
void print_summaries(const std::vector<Json>& models) {
  fmt::print("{:<24} {:>9} {:>8} {:>7} {:>9} {:>7} {:>9}\n", "", "explained", "skipped", "score",
             "by token", "ratio", "≥ 0.5");
  for (const Json& model : models) {
    print_row(model.at("model"), model.at("summary"));
    for (const Json& reference : model.at("references")) {
      print_row("  " + reference.at("name").get<std::string>(), reference);
    }
  }
  fmt::print(
      "score: median Pearson correlation of what a rule predicts with what the feature does, on "
      "the "
      "half of\nthe documents that it was not fitted on; by token: that of E[f | token]; ratio: "
      "median of their ratios.\n\n");
  for (const Json& model : models) {
    print_groups(model.at("model").get<std::string>() + ": measurable features",
                 model.at("groups"));
    for (const auto& [name, shares] : model.at("path_groups").items()) {
      print_groups("  " + name, shares);
    }
    for (const auto& [name, shares] : model.at("corpus_groups").items()) {
      print_groups("  activation on " + name, shares);
    }
  }
}

// The feature's row of explanations.json.
Json explained_feature(const std::vector<Json>& models, const std::string& asked) {
  std::vector<std::string> names;
  for (const Json& model : models) names.push_back(model.at("model"));
  const FeatureName name = parse_feature_name(asked, names);
  const Json& model =
      models[static_cast<size_t>(std::ranges::find(names, name.model) - names.begin())];
  for (const Json& feature : model.at("features")) {
    if (feature.at("feature") != name.feature) continue;
    Json found = {{"model", name.model}};
    found.update(feature);
    return found;
  }
  throw Error(
      fmt::format("{}: not explained, as it is active on fewer than {} tokens of a half of the "
                  "documents, or there is no such feature",
                  in_quotes(asked), model.at("threshold_tokens").get<int64_t>()));
}

void explain(const ExplainOptions& options, const CommonOptions& common) {
  const SavedStudy saved = load_run(options.run);
  const StageGraph graph = bring_up_to_date(saved, options.run, "explanations", common);
  std::vector<Json> models;
  for (const ModelSettings& model : saved.study.family()) {
    models.push_back(read_explanations(graph, options.run, model.name));
  }
  if (options.features.empty()) {
    if (!common.json) return print_summaries(models);
    for (Json& model : models) model.erase("features");
    return print_json(models);
  }
  Json rows = Json::array();
  for (const std::string& asked : options.features) {
    rows.push_back(explained_feature(models, asked));
    const Json& row = rows.back();
    if (common.json) continue;
    fmt::print("{}: {}\n  score {} (Spearman {}), by token {}, {}\n", asked,
               row.at("text").get<std::string>(), number(row.at("score")),
               number(row.at("spearman")), number(row.at("token_score")),
               row.at("group").get<std::string>());
  }
  if (common.json) print_json(rows);
}

// What the models' best features for a hypothesis do when they are removed, edge by edge.
Json causal_rows(const Study& study, const ArtifactFolder& input, const CaseStudy& found) {
  const auto best = [&](const std::string& name) {
    const auto at = std::ranges::find(found.models, name) - found.models.begin();
    return found.best[static_cast<size_t>(at)];
  };
  Json rows = Json::array();
  for (const CaseStudyEdge& edge : found.edges) {
    const auto parent = best(edge.parent), child = best(edge.child);
    if (!parent || !child) continue;
    const CausalResult result = causal_results(
        study, input, own_autoencoder(study, edge.parent), own_autoencoder(study, edge.child),
        {{parent->feature, child->feature, edge.correlation.value_or(kUnknown)}})[0];
    rows.push_back({{"parent", edge.parent},
                    {"child", edge.child},
                    {"tokens", result.tokens},
                    {"effect_correlation", result.effect_correlation},
                    {"cosine", result.cosine},
                    {"logit_correlation", result.logit_correlation},
                    {"mean_change_parent", result.parent.mean_change},
                    {"mean_change_child", result.child.mean_change},
                    {"matched", result.matched},
                    {"flagged", result.flagged}});
  }
  return rows;
}

void print_case(const CaseStudy& found, const Json& causal) {
  if (found.occurrences == 0) {
    fmt::print("{}: not in the matching text, so nothing can be said of it\n",
               in_quotes(found.label));
    return;
  }
  fmt::print("{}: {} times in the matching text, {:.3f}% of its tokens; at most {:.2f} bits\n\n",
             in_quotes(found.label), found.occurrences,
             100 * static_cast<double>(found.occurrences) / static_cast<double>(found.rows),
             found.bound_bits);
  fmt::print("{:<20} {:>8} {:>10} {:>11} {:>14} {:>10}\n", "model", "feature", "LLR (bits)",
             "active on", "of its tokens", "elsewhere");
  for (size_t i = 0; i < found.models.size(); ++i) {
    const auto& best = found.best[i];
    if (!best) {
      fmt::print("{:<20} {:>8}\n", found.models[i], "none");
      continue;
    }
    fmt::print("{:<20} {:>8} {:>10.2f} {:>11} {:>14} {:>9.2g}×\n", found.models[i], best->feature,
               best->bits, best->active_in_set, best->active_tokens, best->elsewhere);
  }
  fmt::print(
      "\nelsewhere: how much more of its activation lies on other tokens (0.5×: half as "
      "much)\n\n");
  for (const CaseStudy::Pair& pair : found.correlations) {
    fmt::print("{} – {}: r {:.3f}\n", pair.a, pair.b, pair.correlation);
  }
  if (found.mean_correlation) fmt::print("mean {:.3f}\n", *found.mean_correlation);
  fmt::print("\n");
  for (const CaseStudyEdge& edge : found.edges) {
    std::string line = fmt::format("{} → {}: ", edge.parent, edge.child);
    if (!edge.correlation) {
      line += "one of them has no feature for it";
    } else {
      line += fmt::format("{} (r {:.3f}, threshold {})",
                          edge.persists ? "persists" : "does not persist", *edge.correlation,
                          found.threshold);
    }
    if (edge.strongest) {
      line += fmt::format("; most like the parent's: {} #{}, r {:.3f}", edge.child,
                          edge.strongest->feature, edge.strongest_correlation);
    }
    for (const Json& row : causal) {
      if (row.at("parent") != edge.parent || row.at("child") != edge.child) continue;
      const auto shown = [&](const char* key) {
        const auto value = row.at(key).get<double>();
        return std::isnan(value) ? std::string("–") : fmt::format("{:.2f}", value);
      };
      line +=
          fmt::format("\n    removed: effects correlate {}, directions cosine {}{}",
                      shown("effect_correlation"), shown("cosine"),
                      row.at("flagged").get<bool>() ? "; alike in activation, not in effect" : "");
    }
    fmt::print("{}\n", line);
  }
  if (found.edges.empty()) return;
  fmt::print("\nverdict: {}\n",
             found.persists ? "persists along every edge" : "does not persist along every edge");
}

void study_hypotheses(const ExplainOptions& options, const CommonOptions& common) {
  const SavedStudy saved = load_run(options.run);
  const StageGraph graph = bring_up_to_date(saved, options.run, "activations", common);
  const ArtifactFolder input = [&](const std::string& id) { return graph.folder(options.run, id); };
  Json all = Json::array();
  bool first = true;
  for (const CaseStudy& found : case_studies_of(saved.study, input, options.hypotheses)) {
    const Json causal =
        options.no_causal ? Json(Json::array()) : causal_rows(saved.study, input, found);
    if (!common.json) {
      if (!std::exchange(first, false)) fmt::print("\n");
      print_case(found, causal);
      continue;
    }
    Json row = Json::parse(case_studies_json(std::span(&found, 1)))[0];
    row["causal"] = causal;
    all.push_back(std::move(row));
  }
  if (common.json) print_json(all);
}

}  // namespace

void add_explain(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* command = add_command(
      app, "explain", "What features stand for, in words, and how well the words predict them",
      "featflow explain runs/quick --feature Lua/12\n"
      "  featflow explain runs/quick --language-model --base-url http://127.0.0.1:8080/v1 --model "
      "NAME\n"
      "  featflow explain runs/quick --hypothesis = --hypothesis '/[A-Z]+/'",
      common);
  command->add_option("run", options->run, "Run folder")->required();
  auto* features =
      command->add_option("--feature", options->features, "Only these: MODEL/NUMBER; repeatable")
          ->allow_extra_args(false);
  auto* hypothesis =
      command
          ->add_option(
              "--hypothesis", options->hypotheses,
              "A token, or /REGULAR EXPRESSION/ of whole tokens: the feature of each model that "
              "tracks it, and what becomes of it; repeatable")
          ->allow_extra_args(false)
          ->excludes(features);
  command
      ->add_flag("--no-causal", options->no_causal,
                 "Do not remove the features to see what they do")
      ->needs(hypothesis);
  auto language_model = std::make_shared<LanguageModelFlags>();
  add_language_model_flags(*command, language_model)->excludes(hypothesis);
  for (const char* drawn : {"--of", "--per-class"}) command->get_option(drawn)->excludes(features);
  command->callback([options, language_model, &common] {
    common.apply();
    if (language_model->asked) {
      explain_run_by_language_model(options->run, options->features, *language_model, common);
    } else if (options->hypotheses.empty()) {
      explain(*options, common);
    } else {
      study_hypotheses(*options, common);
    }
  });
}

}  // namespace featflow
