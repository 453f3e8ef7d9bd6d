#include "report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string_view>

#include "autoencoder/feature_activations.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/parallel.hpp"
#include "matching/matches.hpp"
#include "report/explanation_payload.hpp"
#include "report/feature_payload.hpp"
#include "report/flow_payload.hpp"
#include "report/overview.hpp"
#include "report/paired_activations.hpp"
#include "report/payload.hpp"
#include "report/report_template.hpp"
#include "report/report_text.hpp"
#include "report/text_payload.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// Everything about a model but its features.
Json model_summary(const ReportModel& model) {
  Json corpora = Json::object();
  for (const auto& [corpus, share] : model.corpora) corpora[corpus] = share;
  Json summary = {{"name", model.name},
                  {"parents", model.parents},
                  {"kind", model.kind},
                  {"method", model.method},
                  {"corpora", corpora},
                  {"parameters", model.parameters},
                  {"tokens_trained", model.tokens_trained},
                  {"evaluation", nullptr},
                  {"autoencoder", nullptr},
                  {"training", nullptr},
                  {"feature_count", 0},
                  {"index", nullptr},
                  {"features", Json::array()},
                  {"paired", Json::array()},
                  {"explanations", nullptr},
                  {"texts", nullptr}};
  if (!model.evaluation.empty()) {
    const Json evaluation = read_stage_json(model.evaluation);
    if (!evaluation.is_object() || !evaluation.contains("corpora")) {
      throw Error(fmt::format("{}: no key \"corpora\"; is it an evaluation of a model?",
                              model.evaluation.string()));
    }
    summary["evaluation"] = evaluation["corpora"];
  }
  if (!model.autoencoder_evaluation.empty()) {
    summary["autoencoder"] = read_stage_json(model.autoencoder_evaluation);
  }
  if (!model.metrics.empty()) summary["training"] = training_curves(model.metrics);
  return summary;
}

class ReportBuilder {
 public:
  explicit ReportBuilder(const ReportInputs& inputs) : inputs_(inputs) {
    overview_chunk_ = payload_.reserve();
  }

  std::string html() {
    for (const ReportModel& model : inputs_.models) models_.push_back(model_summary(model));
    if (!inputs_.flow.empty()) flow_.emplace(inputs_.flow);
    read_matches();
    const bool with_features = std::any_of(inputs_.models.begin(), inputs_.models.end(),
                                           [](const auto& m) { return !m.activations.empty(); });
    if (with_features) add_all_features();
    payload_.set(overview_chunk_, overview());

    return payload_.page(report_template());
  }

  /// How much of each was shown.
  const ExampleCounts& examples() const { return examples_; }

 private:
  MeasurableLimits limits() const { return flow_ ? flow_->limits() : inputs_.limits; }

  void read_matches() {
    for (const std::filesystem::path& folder : inputs_.matches) {
      const Matches matches = load_matches(folder);
      const int a = model_index(inputs_, matches.a.model, folder.string());
      const int b = model_index(inputs_, matches.b.model, folder.string());
      matched_.emplace_back(matches.a.model, matches.b.model);
      partners_[a].emplace_back(b, best_partners(matches, true, inputs_.budget.matches, limits()));
      partners_[b].emplace_back(a, best_partners(matches, false, inputs_.budget.matches, limits()));
      if (!flow_) continue;
      const std::vector<double> thresholds = flow_->thresholds_of(matches.a.model, matches.b.model);
      if (thresholds.empty()) continue;
      const auto reached = [&](bool of_a) {
        std::string letters;
        for (const uint8_t k : thresholds_reached(matches, of_a, thresholds, limits())) {
          letters += static_cast<char>('a' + k);
        }
        return letters;
      };
      reached_[{matches.a.model, matches.b.model}] = {reached(true), reached(false)};
    }
    for (auto& [model, others] : partners_) {
      std::sort(others.begin(), others.end(),
                [](const auto& x, const auto& y) { return x.first < y.first; });
    }
  }

  void add_all_features() {
    if (inputs_.tokens.empty() || inputs_.tokenizer.empty()) {
      throw Error("report: feature activations are given, but no matching text or no tokenizer");
    }
    const ReportText text = ReportText::load(inputs_.tokens, inputs_.tokenizer);
    vocabulary_chunk_ = payload_.add(Json(text.vocabulary));
    examples_ = affordable_examples(inputs_.budget, feature_count(), others());
    for (size_t i = 0; i < inputs_.models.size(); ++i) {
      if (inputs_.models[i].activations.empty()) continue;
      throw_if_interrupted();
      add_model_features(static_cast<int>(i), text);
    }
    if (examples_.paired > 0) add_paired_activations();
    for (size_t s = 0; s < samples_.size(); ++s) {
      const TextSample& sample = samples_[s];
      const std::span<const int32_t> tokens = tokens_in(text.shard, sample.window);
      const int64_t chunk = payload_.add(
          {{"tokens", std::vector<int32_t>(tokens.begin(), tokens.end())}, {"models", active_[s]}});
      sample_list_.push_back(
          {{"corpus", sample.corpus}, {"document", sample.document}, {"chunk", chunk}});
    }
  }

  /// What every model makes of the stretches of text that are shown whole.
  void add_samples(int i, const FeatureActivations& activations,
                   const FeatureStatistics& statistics, const ReportText& text) {
    if (samples_.empty()) {
      samples_ = choose_samples(activations, text.shard, inputs_.budget.samples,
                                inputs_.budget.sample_tokens);
      active_.assign(samples_.size(), Json::array());
    }
    for (size_t s = 0; s < samples_.size(); ++s) {
      active_[s].push_back(
          {i, active_features(activations, statistics.maximum, samples_[s].window)});
    }
  }

  void add_explanations(int i, int64_t feature_count) {
    auto [about, texts] =
        explanation_payload(inputs_.models[static_cast<size_t>(i)], feature_count);
    if (about.is_null()) return;
    Json& summary = models_[static_cast<size_t>(i)];
    summary["explanations"] = std::move(about);
    summary["texts"] = payload_.add(texts);
  }

  /// Features of all models together, as far as the stage files before tell without reading the
  /// activations twice.
  int64_t feature_count() const {
    int64_t total = 0;
    for (const auto& [model, others] : partners_) {
      if (!others.empty()) total += std::ssize(others.front().second);
    }
    for (size_t i = 0; i < models_.size(); ++i) {
      const Json& autoencoder = models_[i]["autoencoder"];
      if (partners_.contains(static_cast<int>(i)) || !autoencoder.is_object()) continue;
      total += autoencoder.value("features", int64_t{0});
    }
    return total;
  }

  /// Models that a feature has a partner in, at most.
  int64_t others() const {
    int64_t most = 0;
    for (const auto& [model, others] : partners_) most = std::max(most, std::ssize(others));
    return most;
  }

  FeatureColumns columns(int i) const {
    return transpose(
        load_feature_activations(inputs_.models[static_cast<size_t>(i)].activations).rows);
  }

  /// Every feature beside its best partner in each other model.
  void add_paired_activations() {
    std::map<int, std::vector<Json>> plots;  // by model, [feature]
    const auto plot = [&](int model, const FeatureColumns& own, int other,
                          const FeatureColumns& theirs) {
      for (const auto& entry : partners_.at(model)) {
        if (entry.first != other) continue;
        const auto& partners = entry.second;  // clang 14 captures no structured bindings
        std::vector<Json>& rows = plots[model];
        rows.resize(partners.size(), Json::array());
        parallel_for(std::ssize(partners), 64, [&](int64_t begin, int64_t end, int) {
          for (auto j = static_cast<size_t>(begin); j < static_cast<size_t>(end); ++j) {
            if (partners[j].empty()) continue;
            const int32_t k = partners[j].front().first;
            const PairedColumn a{own.column(static_cast<int64_t>(j)), maximum_.at(model)[j]};
            const PairedColumn b{theirs.column(k), maximum_.at(other)[static_cast<size_t>(k)]};
            const PairedActivations paired = paired_activations(a, b, examples_.paired);
            rows[j].push_back(
                {other, k, paired.rows, paired_letters(paired, a.maximum, b.maximum)});
          }
        });
      }
    };
    for (const auto& [a, others] : partners_) {
      if (!maximum_.contains(a)) continue;
      const FeatureColumns columns_a = columns(a);
      for (const auto& [b, partners] : others) {
        if (b < a || !maximum_.contains(b)) continue;
        throw_if_interrupted();
        const FeatureColumns columns_b = columns(b);
        plot(a, columns_a, b, columns_b);
        plot(b, columns_b, a, columns_a);
      }
    }
    for (auto& [model, rows] : plots) {
      Json& chunks = models_[static_cast<size_t>(model)]["paired"];
      for (size_t first = 0; first < rows.size(); first += kFeaturesPerChunk) {
        const size_t end = std::min(rows.size(), first + kFeaturesPerChunk);
        chunks.push_back(payload_.add(std::vector<Json>(rows.begin() + static_cast<int64_t>(first),
                                                        rows.begin() + static_cast<int64_t>(end))));
      }
    }
  }

  void add_model_features(int i, const ReportText& text) {
    const ReportModel& model = inputs_.models[static_cast<size_t>(i)];
    const FeatureActivations activations = load_feature_activations(model.activations);
    text.check(activations, model.activations);
    const FeatureStatistics statistics = feature_statistics(activations);
    const int64_t feature_count = activations.rows.feature_count;
    maximum_[i] = statistics.maximum;
    if (corpora_.empty()) corpora_ = activations.corpus_names;
    if (corpora_ != activations.corpus_names) {
      throw Error(
          fmt::format("{}: its corpora differ from those of the models before it; was it "
                      "encoded on another text?",
                      model.activations.string()));
    }

    FeatureContext context{.activations = &activations,
                           .statistics = &statistics,
                           .text = &text.shard,
                           .measurable = measurable(statistics, limits()),
                           .matches = {},
                           .edges = {},
                           .paths = {},
                           .origins = {},
                           .logits = nullptr,
                           .budget = inputs_.budget,
                           .examples = examples_.top,
                           .intervals = examples_.intervals};
    if (const auto found = partners_.find(i); found != partners_.end()) {
      context.matches = found->second;
      for (const auto& [other, partners] : context.matches) {
        if (std::ssize(partners) != feature_count) {
          throw Error(fmt::format("{}: {} features, but {} in the matches with {}",
                                  model.activations.string(), feature_count, partners.size(),
                                  inputs_.models[static_cast<size_t>(other)].name));
        }
      }
    }
    if (flow_) {
      context.edges = flow_->classes_of(model.name, feature_count);
      for (EdgeClasses& edge : context.edges) {
        const auto found = reached_.find({edge.parent, edge.child});
        if (found == reached_.end()) continue;
        edge.reached = edge.parent == model.name ? found->second.first : found->second.second;
      }
      context.paths = flow_->paths_of(model.name, feature_count);
      context.origins = flow_->origins_of(model.name, feature_count);
    }
    if (!model.logit_weights.empty()) {
      context.logits = std::make_shared<const Json>(
          logit_payload(model, feature_count, std::ssize(text.vocabulary),
                        static_cast<size_t>(inputs_.budget.logits)));
    }

    const Json chunks = add_features(payload_, context);
    Json& summary = models_[static_cast<size_t>(i)];
    summary["feature_count"] = feature_count;
    summary["index"] = chunks["index"];
    summary["features"] = chunks["features"];
    add_explanations(i, feature_count);
    add_samples(i, activations, statistics, text);
  }

  Json overview() const {
    Json facts = Json::array(), sweeps = Json::array(), matched = Json::array(),
         comparisons = Json::array(), causal = Json::array();
    for (const auto& [name, value] : inputs_.facts) facts.push_back({name, value});
    for (const ReportSweep& sweep : inputs_.sweeps) {
      Json summary = sweep_summary(sweep.file);
      summary["name"] = sweep.name;
      sweeps.push_back(std::move(summary));
    }
    for (const ReportComparison& comparison : inputs_.comparisons) {
      comparisons.push_back(comparison_summary(comparison));
    }
    for (const std::filesystem::path& file : inputs_.causal) {
      causal.push_back(causal_summary(file));
    }
    for (const auto& [a, b] : matched_) matched.push_back({a, b});
    const ExampleBudget& budget = inputs_.budget;
    const std::string text =
        vocabulary_chunk_ < 0
            ? "This report was made without feature activations."
            : fmt::format(
                  "Example budget: at most {} top examples per feature{}, each with {} tokens "
                  "before and {} after the strongest one, within its document; activations "
                  "are kept to 1/255 of the feature's maximum.",
                  examples_.top,
                  examples_.intervals > 0
                      ? fmt::format(" and one of each of {} equal shares of its active tokens",
                                    examples_.intervals)
                      : std::string(),
                  budget.before, budget.after);
    return {{"study", inputs_.study},
            {"facts", facts},
            {"warnings", inputs_.warnings},
            {"budget",
             {{"examples", examples_.top},
              {"intervals", examples_.intervals},
              {"before", budget.before},
              {"after", budget.after},
              {"text", text}}},
            {"corpora", corpora_},
            {"vocabulary", vocabulary_chunk_},
            {"matched", matched},
            {"models", models_},
            {"sweeps", sweeps},
            {"comparisons", comparisons},
            {"causal", causal},
            {"samples", sample_list_},
            {"flow", flow_ ? flow_->summary(inputs_.nulls, inputs_.controls) : Json(nullptr)},
            {"lambda_table",
             inputs_.lambda_table.empty() ? Json::array() : read_stage_json(inputs_.lambda_table)},
            {"cases",
             inputs_.case_studies.empty() ? Json::array() : read_stage_json(inputs_.case_studies)}};
  }

  const ReportInputs& inputs_;
  Payload payload_;
  int64_t overview_chunk_ = 0, vocabulary_chunk_ = -1;
  ExampleCounts examples_;
  std::vector<Json> models_;
  std::vector<std::string> corpora_;
  std::optional<FlowPayload> flow_;
  std::vector<std::pair<std::string, std::string>> matched_;
  /// Per model: (other model, best partners there of each feature).
  std::map<int, decltype(FeatureContext::matches)> partners_;
  std::map<int, std::vector<float>> maximum_;  // [feature] by model
  /// EdgeClasses::reached of the parent's features and the child's, by (parent, child).
  std::map<std::pair<std::string, std::string>, std::pair<std::string, std::string>> reached_;
  std::vector<TextSample> samples_;
  std::vector<Json> active_;  // by sample: [[model, active features by token]]
  Json sample_list_ = Json::array();
};

/// Leaves out of a report what fits least: plots first, then examples, then those by interval, then
/// half of what else is shown of a feature. `room` is the share of its size that it may have.
/// False: nothing is left to leave out.
bool leave_out(ExampleBudget& budget, double room) {
  if (budget.paired > 0) {
    budget.paired = 0;
    return true;
  }
  const int64_t least = std::min(budget.minimum, budget.examples);
  if (budget.examples > least || budget.intervals > 0) {
    const int64_t shown = budget.examples + budget.intervals;
    const auto fitting =
        std::min(shown - 1, static_cast<int64_t>(0.95 * room * static_cast<double>(shown)));
    if (fitting < least + budget.intervals) budget.intervals = 0;
    budget.examples = std::clamp(fitting - budget.intervals, least, budget.examples);
    return true;
  }
  if (budget.coactive == 0) return false;
  budget.coactive = 0;
  budget.matches = std::min<int64_t>(budget.matches, 1);
  for (int64_t* count : {&budget.tokens, &budget.logits, &budget.before, &budget.after}) {
    *count = (*count + 1) / 2;
  }
  return true;
}

}  // namespace

int model_index(const ReportInputs& inputs, const std::string& name, const std::string& where) {
  for (size_t i = 0; i < inputs.models.size(); ++i) {
    if (inputs.models[i].name == name) return static_cast<int>(i);
  }
  throw Error(fmt::format("{}: the model {} is not in this report; was the study changed since?",
                          where, in_quotes(name)));
}

void write_report(const ReportInputs& inputs, const std::filesystem::path& html) {
  std::set<std::string> names;
  for (const ReportModel& model : inputs.models) {
    if (!names.insert(model.name).second) {
      throw Error(fmt::format("report: two models are called {}", in_quotes(model.name)));
    }
  }
  ReportInputs fitting = inputs;
  std::string page;
  for (;;) {
    ReportBuilder builder(fitting);
    page = builder.html();
    if (std::ssize(page) <= inputs.budget.bytes) break;
    // The estimate was too hopeful: as many examples as the file has room for.
    fitting.budget.examples = builder.examples().top;
    fitting.budget.intervals = builder.examples().intervals;
    fitting.budget.paired = builder.examples().paired;
    if (!leave_out(fitting.budget,
                   static_cast<double>(inputs.budget.bytes) / static_cast<double>(page.size()))) {
      log_warning(
          fmt::format("{} has {} bytes, more than the {} it should have: nothing that could be "
                      "left out is left in it",
                      html.string(), page.size(), inputs.budget.bytes));
      break;
    }
  }
  write_file_atomic(html, page);
}

}  // namespace featflow
