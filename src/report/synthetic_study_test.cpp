#include "report/synthetic_study.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "core/rng.hpp"
#include "flow/flow.hpp"
#include "flow/verdict.hpp"
#include "matching/correlation.hpp"
#include "matching/null.hpp"
#include "matching/significance.hpp"
#include "merging/sweep.hpp"
#include "report/decoded_page.hpp"
#include "report/payload.hpp"
#include "report/report.hpp"
#include "storage/files.hpp"
#include "tokens/token_shard.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow::synthetic {

/// A hash of three numbers as a uniform variate in [0, 1).
static double variate(uint64_t a, uint64_t b, uint64_t c) {
  return Rng(derive_seed(a * 1'000'003 + b, std::to_string(c))).uniform();
}

Study::Study(fs::path folder) : folder_(std::move(folder)) {
  fs::remove_all(folder_);
  create_folder(folder_);
  write_text();
  const std::vector<std::string> names = {"BabyPython", "Lua", "Tiny<b>Stories", "LuaStories"};
  const std::vector<std::vector<std::string>> parents = {
      {}, {names[0]}, {names[0]}, {names[1], names[2]}};
  const std::vector<int64_t> offsets = {0, 110, 190, 160};
  for (size_t i = 0; i < names.size(); ++i) {
    activations_.push_back(encode(names[i], offsets[i], i));
    add_model(names[i], parents[i], i);
  }
  match_and_flow(names);
  write_sweep();
  write_comparison();
  write_causal_check();
  write_explanations();
  inputs.case_studies = folder_ / "case_studies.json";
  write_file_atomic(
      inputs.case_studies,
      Json::array({{{"hypothesis", "="},
                    {"models", {{{"model", names[0]}, {"feature", 7}, {"llr_bits", 6.5}}}},
                    {"persists", false}}})
          .dump());
  inputs.study = "synthetic";
  inputs.facts = {{"seed", "42"}, {"matching tokens", std::to_string(text_.size())}};
  inputs.warnings = {"LuaStories is <i>below</i> the base on lua."};
  inputs.budget.examples = 6;
}

void Study::write_text() {
  std::vector<std::string> documents;
  Rng rng(1);
  const std::vector<std::string> words = {"local x = nil\n",
                                          "function f(a)\n\treturn a\nend\n",
                                          "if self.y == 3 then\n    print(\"hello\")\nend\n",
                                          "Once upon a time",
                                          " there was a little girl.",
                                          " \"Mum,\" she said,",
                                          " “let us go – now!”\r\n",
                                          "def g(x):\n    return x\n",
                                          "for i = 1, 10 do\n"};
  for (int d = 0; d < 36; ++d) {
    std::string document;
    for (int w = 0; w < 12; ++w) document += words[rng.below(words.size())];
    if (d % 4 == 0) document += kMarkup;
    documents.push_back(document + words[rng.below(words.size())]);
  }
  inputs.tokenizer = folder_ / "tokenizer.model";
  Tokenizer::train({.vocab_size = 400}, documents, inputs.tokenizer);
  tokenizer_ = Tokenizer::load(inputs.tokenizer);
  text_ = tokenize(*tokenizer_, documents);
  inputs.tokens = folder_ / "tokens.safetensors";
  save_token_shard(text_, inputs.tokens);
}

FeatureActivations Study::encode(const std::string& name, int64_t offset, uint64_t model) {
  FeatureActivations out;
  out.model = name;
  out.autoencoder = name + "-sae";
  out.corpus = "the matching text";
  out.corpus_names = {"lua", "stories"};
  out.rows.feature_count = kFeatures;
  // A pattern likes a tenth of the vocabulary, and is missing at some of its tokens.
  const auto likes = [](uint64_t pattern, uint64_t id) {
    static std::map<std::pair<uint64_t, uint64_t>, bool> known;
    const auto [at, fresh] = known.try_emplace({pattern, id});
    if (fresh) at->second = variate(2, pattern, id) < 0.1;
    return at->second;
  };
  for (int64_t position = 0; position < text_.size(); ++position) {
    const auto id = static_cast<uint64_t>(text_.tokens[static_cast<size_t>(position)]);
    if (text_.tokens[static_cast<size_t>(position)] == tokenizer_->bos_id()) continue;
    for (int64_t j = 0; j < kFeatures - 5; ++j) {  // the last five are silent
      const auto pattern = static_cast<uint64_t>(j + offset);
      if (!likes(pattern, id)) continue;
      const double strength = variate(3 + pattern, static_cast<uint64_t>(position), 0);
      if (strength < 0.4) continue;
      const double noise = 0.1 * variate(model, pattern, static_cast<uint64_t>(position));
      out.rows.features.push_back(static_cast<int32_t>(j));
      out.rows.values.push_back(static_cast<float>((1 + pattern % 7) * (strength + noise)));
    }
    out.rows.row_offsets.push_back(out.rows.active());
    out.token_positions.push_back(position);
    out.documents.push_back(static_cast<int32_t>(text_.document_of(position)));
    out.corpora.push_back(static_cast<uint8_t>(out.documents.back() % 2));
  }
  return out;
}

void Study::add_model(const std::string& name, const std::vector<std::string>& parents, size_t i) {
  const std::vector<std::string> kinds = {"pre-trained", "fine-tuned", "fine-tuned", "merged"};
  ReportModel model;
  model.name = name;
  model.parents = parents;
  model.kind = kinds[i];
  if (i == 3) model.method = "slerp, t = 0.5";
  if (i < 3) model.corpora = {{i == 0 ? "python" : "lua", 0.5}, {"stories", 0.5}};
  model.parameters = 1'234'567;
  model.tokens_trained = i < 3 ? 2'000'000 : 0;
  const std::string stem = std::to_string(i);

  model.activations = folder_ / (stem + ".activations.safetensors");
  save_feature_activations(activations_.back(), model.activations);
  model.evaluation = folder_ / (stem + ".evaluation.json");
  Json scores;
  for (const char* corpus : {"lua", "stories"}) {
    scores[corpus] = {{"loss", 3 - 0.1 * static_cast<double>(i)},
                      {"accuracy", 0.4 + 0.02 * static_cast<double>(i)},
                      {"tokens", 100'000},
                      {"perplexity", 20.1}};
  }
  write_file_atomic(model.evaluation, Json{{"corpora", scores}}.dump());
  model.autoencoder_evaluation = folder_ / (stem + ".eval.json");
  Json edges = Json::array(), counts = Json::array();
  for (int bin = 0; bin <= 32; ++bin) edges.push_back(-8 + 0.25 * bin);
  for (int bin = 0; bin < 32; ++bin) counts.push_back(bin < 10 ? 0 : 2 * (32 - bin));
  write_file_atomic(
      model.autoencoder_evaluation,
      Json{{"features", kFeatures},
           {"l0", 28.4},
           {"mse", 0.0021},
           {"mse_over_variance", 0.12},
           {"explained_variance", 0.88},
           {"dead_share", 0.016},
           {"density_histogram", {{"log10_edges", edges}, {"counts", counts}}},
           {"explained_loss",
            {{"zero", 0.91}, {"mean", 0.84}, {"per_corpus", {{"lua", 0.9}, {"stories", 0.92}}}}},
           {"loss_original", 3.1},
           {"loss_reconstructed", 3.3},
           {"loss_zero", 5.3},
           {"loss_mean", 4.3},
           {"tokens", 200'000}}
          .dump());
  if (i < 3) {
    model.metrics = folder_ / (stem + ".metrics.jsonl");
    LineLog log(model.metrics);
    for (int step = 0; step < 900; ++step) {
      log.append(Json{{"step", step},
                      {"loss", 3 + 4 * std::exp(-step / 150.0)},
                      {"learning_rate", 1e-3},
                      {"gradient_norm", 1.0},
                      {"tokens", (step + 1) * 2048}}
                     .dump());
      if (step % 300 == 299) {
        log.append(
            Json{{"step", step}, {"validation", {{"lua", {{"loss", 3.2}, {"accuracy", 0.41}}}}}}
                .dump());
      }
    }
    log.offset();
  }
  inputs.models.push_back(model);
}

void Study::match_and_flow(const std::vector<std::string>& names) {
  std::map<std::pair<std::string, std::string>, Matches> matches;
  MatchesByModels borrowed;
  for (size_t a = 0; a < names.size(); ++a) {
    for (size_t b = a + 1; b < names.size(); ++b) {
      const fs::path folder = folder_ / ("matches-" + std::to_string(a) + std::to_string(b));
      const auto pair = std::pair(names[a], names[b]);
      matches[pair] = correlate(activations_[a], activations_[b]);
      save_matches(matches[pair], folder);
      inputs.matches.push_back(folder);
      borrowed[pair] = &matches[pair];
    }
  }
  std::vector<FamilyModel> models;
  for (const ReportModel& model : inputs.models) {
    models.push_back({model.name, model.parents, model.kind == "merged"});
  }
  flow_ = compute_flow(Family(models), borrowed);
  add_controls(matches[{names[0], names[1]}]);
  save_flow(flow_, folder_ / "flow");
  inputs.flow = folder_ / "flow" / "flow.json";
  inputs.nulls = {{names[0], names[1], 0}};
}

void Study::add_controls(const Matches& edge) {
  const FeatureActivations &p = activations_[0], &c = activations_[1];
  const FeatureActivations p2 = encode("BabyPython@Lua", 30, 11), c2 = encode("Lua@Lua", 70, 12),
                           p3 = encode("BabyPython@BabyPython", 10, 13),
                           other = encode("AnotherSeed", 240, 14);
  const Matches pp = correlate(p, p2), pc = correlate(p, c2), cc = correlate(c, c2),
                p2c = correlate(p2, c), same = correlate(p, p3);
  EdgeVerdict verdict = edge_verdict({&edge, &pp, &pc, &cc, &p2c, &same});
  CrossFitOptions options;
  options.groups = 8;
  options.resamples = 20;
  flow_.family[0].cross_fit = cross_fit(p, c, options);
  verdict.of_parent.ceiling_fit = cross_fit(p, p2, options);
  verdict.of_parent.conditional_fit = cross_fit_conditional(p, c, p2, options);
  flow_.family[0].verdict = std::make_shared<EdgeVerdict>(std::move(verdict));

  NullOptions null;
  null.runs = 2;
  flow_.family[0].nulls = {significance(best_correlations(p, c), shifted_rows_null(p, c, null))};
  flow_.controls = {edge_flow(correlate(p, other))};
  inputs.controls = {{"BabyPython", "AnotherSeed", ReportControl::Nature::kAnotherSeed}};
}

void Study::write_sweep() {
  Checkpoint a, b;
  a.tensors["w"] = {{2}, {0, 1}};
  b.tensors["w"] = {{2}, {1, 1}};
  const Evaluate evaluate = [](const Checkpoint& model, int which) {
    const double t = model.tensors.at("w").data[0], s = which == 0 ? t : 1 - t;
    DocumentScores scores;
    for (int document = 0; document < 4; ++document) {
      scores.predicted.push_back(100'000);
      scores.correct.push_back(std::llround(100'000 * (0.5 - 0.2 * s * s)));
      scores.loss.push_back(100'000 * (2 + s * s));
    }
    return scores;
  };
  SweepConfig config;
  config.merge.method = MergeMethod::kLinear;
  config.steps = 21;
  config.names = {"Lua", "Tiny<b>Stories"};
  config.base_name = "BabyPython";
  create_folder(folder_ / "sweep");
  sweep(a, b, &a, config, evaluate, folder_ / "sweep");
  inputs.sweeps = {{"LuaStories", folder_ / "sweep" / "sweep.json"}};
}

void Study::write_comparison() {
  const std::vector<std::string> parents = {"Lua", "Tiny<b>Stories"};
  const auto retained = [&](int64_t of_a, int64_t of_b) {
    Json out;
    for (const auto& [parent, count] : {std::pair(parents[0], of_a), std::pair(parents[1], of_b)}) {
      const Json all = {{"measurable", 200},
                        {"retained", count},
                        {"share", static_cast<double>(count) / 200},
                        {"mean_correlation", 0.7}};
      out[parent] = all;
      out[parent]["own_corpora"] = all;
    }
    return out;
  };
  const Json scores = {{"accuracy_a", 0.45}, {"accuracy_b", 0.45}};
  const Json balance = {{"t", 0.5},
                        {"interval", {{"low", 0.4}, {"high", 0.6}, {"level", 0.95}}},
                        {"other_half", scores},
                        {"merged", scores}};
  const Json accuracy = {{"lua", 0.45}, {"stories", 0.45}};
  const auto method = [&](const char* name, const char* called, bool own, const Json& options,
                          const Json& at, const Json& kept) {
    return Json{{"name", name}, {"method", called}, {"options", options}, {"own", own},
                {"t", 0.5},     {"balance", at},    {"retained", kept},   {"accuracy", accuracy}};
  };
  const auto baseline = [&](const char* name, const char* kind, const Json& kept) {
    return Json{{"name", name}, {"kind", kind}, {"accuracy", accuracy}, {"retained", kept}};
  };
  const Json of_base = retained(20, 10);
  Json of_lua = of_base;  // a parent is not read through its own autoencoder again
  of_lua.erase("Lua");
  const Json comparison = {
      {"model", "LuaStories"},
      {"parents", parents},
      {"threshold", 0.8},
      {"tokens", 5000},
      {"methods",
       {method("LuaStories", "linear", true, Json::object(), balance, retained(90, 80)),
        method("LuaStories+ties", "ties", false, {{"density", 0.5}}, nullptr, retained(60, 50))}},
      {"baselines",
       Json::array({baseline("BabyPython", "base", of_base), baseline("Lua", "parent", of_lua)})}};
  const fs::path file = folder_ / "retained.json";
  write_file_atomic(file, comparison.dump());
  const fs::path sweep = folder_ / "sweep" / "sweep.json";
  inputs.comparisons = {{file, {{"LuaStories", sweep}, {"LuaStories+ties", sweep}}}};
}

void Study::write_causal_check() {
  const auto pair = [](const char* feature_class, int64_t j, int64_t k, double r,
                       const Json& effect, bool flagged) {
    const Json side = {{"mean_change", 0.01}, {"promoted", {1, 2}}, {"suppressed", {3, 4}}};
    return Json{{"class", feature_class},
                {"parent_feature", j},
                {"child_feature", k},
                {"correlation", r},
                {"blocks", 10},
                {"tokens", 100},
                {"effect_correlation", effect},
                {"cosine", 0.6},
                {"logit_correlation", -0.2},
                {"matched", r >= 0.8},
                {"flagged", flagged},
                {"parent", side},
                {"child", side}};
  };
  Json study = pair("case_study", 7, 9, 0.4, 0.3, false);
  study["hypothesis"] = "=<b>";
  Json again = pair("found_again", 120, 77, 0.9, 0.8, false);
  const Json medians = {{"pairs", 2},
                        {"matched", 2},
                        {"flagged", 1},
                        {"flagged_share", 0.5},
                        {"median_correlation", 0.9},
                        {"median_effect_correlation", 0.3},
                        {"median_cosine", 0.6},
                        {"median_logit_correlation", nullptr}};
  const fs::path file = folder_ / "causal.json";
  write_file_atomic(file, Json{{"parent", "BabyPython"},
                               {"child", "Lua"},
                               {"threshold", 0.8},
                               {"effect_correlation_bar", 0.5},
                               {"cosine_bar", 0.5},
                               {"classes", {{"persisting", medians}, {"found_again", medians}}},
                               {"pairs",
                                {pair("persisting", 120, 10, 0.95, 0.3, true),
                                 pair("persisting", 121, 11, 0.85, nullptr, false), study, again}}}
                              .dump());
  inputs.causal = {file};
}

void Study::write_explanations() {
  const Json scores = {{"explained", 180},     {"skipped", 100},
                       {"median_score", 0.61}, {"median_token_score", 0.70},
                       {"median_ratio", 0.86}, {"share_at_half", 0.55}};
  Json shuffled = scores, features = Json::array(), said = Json::array(), logits = Json::array();
  shuffled["name"] = "shuffled features";
  shuffled["median_score"] = 0.02;
  for (int64_t j = kFeatures - 6; j >= 0; --j) {  // in any order
    if (j % 3 == 2) continue;
    const double score = std::round(1000 * variate(21, static_cast<uint64_t>(j), 0)) / 1000;
    features.push_back(
        {{"feature", j},
         {"text", "pattern " + std::to_string(j) + " after `" + std::string(kMarkup) + "`"},
         {"score", score},
         {"spearman", j == 0 ? Json(nullptr) : Json(score / 2)},
         {"token_score", score / 2},
         {"group", j % 2 ? "code" : "language"}});
    if (j % 9 == 0) {
      said.push_back({{"feature", j},
                      {"explanation", "words of a <b>story</b>"},
                      {"simulation_score", 0.4},
                      {"detection", nullptr},
                      {"fuzzing", 0.7}});
    }
    logits.push_back(
        {{"feature", j}, {"promoted", {3, 5, 7, 9, 11, 13, 15, 17}}, {"suppressed", {4}}});
  }
  const Json groups = {{"code", 0.5}, {"language", 0.5}};
  ReportModel& lua = inputs.models[1];
  lua.explanations = folder_ / "explanations.json";
  write_file_atomic(lua.explanations, Json{{"model", "Lua"},
                                           {"threshold_tokens", 30},
                                           {"summary", scores},
                                           {"references", {shuffled}},
                                           {"groups", groups},
                                           {"path_groups", {{"BabyPython → Lua", groups}}},
                                           {"features", features}}
                                          .dump());
  lua.language_model_explanations = folder_ / "language_model_explanations.json";
  write_file_atomic(lua.language_model_explanations, Json{{"features", said}}.dump());
  lua.logit_weights = folder_ / "logit_weights.json";
  write_file_atomic(lua.logit_weights, Json{{"model", "Lua"}, {"features", logits}}.dump());
}

const Study& study() {
  static Study made(testing::TempDir() + "featflow-report");
  return made;
}

const DecodedPage& report() {
  static const DecodedPage written = [] {
    const char* kept = std::getenv("FEATFLOW_REPORT");
    const fs::path file = kept ? fs::path(kept) : study().folder() / "report.html";
    write_report(study().inputs, file);
    return DecodedPage(file);
  }();
  return written;
}

const Json& overview() {
  static const Json chunk = report().chunk(0);
  return chunk;
}

Json feature_page(size_t model, int64_t feature) {
  const Json& chunks = overview().at("models").at(model).at("features");
  return report()
      .chunk(chunks.at(static_cast<size_t>(feature / kFeaturesPerChunk)).get<int64_t>())
      .at(static_cast<size_t>(feature % kFeaturesPerChunk));
}

Json index_of(const std::string& name) {
  for (const Json& model : overview().at("models")) {
    if (model.at("name") == name) return report().chunk(model.at("index").get<int64_t>());
  }
  throw std::runtime_error("no model " + name);
}

}  // namespace featflow::synthetic
