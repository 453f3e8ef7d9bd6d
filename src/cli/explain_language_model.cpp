#include "cli/explain_language_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/error.hpp"
#include "core/log.hpp"
#include "features/feature_name.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

std::string dollars(const std::optional<double>& cost) {
  return cost ? fmt::format(", ${:.2f}", *cost) : std::string();
}

std::string score(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : "–";
}

std::string in_words(const std::string& model, const LanguageModelEstimate& estimate) {
  return fmt::format(
      "{}: {} features ({} more have too few active tokens): {} requests, about {} tokens in and "
      "{} "
      "out{}; {} replies are stored already",
      model, estimate.features, estimate.skipped, estimate.requests, estimate.expected.input,
      estimate.expected.output, dollars(estimate.cost), estimate.cached);
}

nlohmann::ordered_json json_of(const std::string& model, const LanguageModelEstimate& estimate) {
  return {{"model", model},
          {"features", estimate.features},
          {"skipped", estimate.skipped},
          {"requests", estimate.requests},
          {"cached", estimate.cached},
          {"input_tokens", estimate.expected.input},
          {"output_tokens", estimate.expected.output},
          {"cost", estimate.cost ? nlohmann::ordered_json(*estimate.cost)
                                 : nlohmann::ordered_json(nullptr)}};
}

void print_explanations(const LanguageModelExplanations& all) {
  fmt::print("{}: {} of {} features explained, {} skipped{}\n{:>8} {:>10} {:>9} {:>9} {:>7}   {}\n",
             all.model, all.explained(), all.asked, all.skipped.size(),
             all.stopped.empty() ? "" : "; stopped: " + all.stopped, "feature", "simulation",
             "detection", "fuzzing", "failed", "explanation");
  for (const LanguageModelExplanation& one : all.features) {
    // Untrusted text on a terminal: in_quotes escapes control characters.
    fmt::print("{:>8} {:>10} {:>9} {:>9} {:>7}   {}\n", one.feature, score(one.simulation_score),
               score(one.detection), score(one.fuzzing), one.failures.total(),
               one.explanation ? in_quotes(*one.explanation, 160) : one.first_problem);
  }
  const SessionTotals& totals = all.totals;
  fmt::print(
      "{} requests, {} cached, {} retries, {} failed, {} malformed; {} tokens in, {} out{}\n",
      totals.requests, totals.cached, totals.retries, totals.failed_requests, all.malformed,
      totals.used.input, totals.used.output, dollars(all.cost));
}

/// What is left of a limit, if anything.
bool spend(SpendingLimit& limit, const LanguageModelExplanations& done) {
  if (limit.tokens) *limit.tokens -= done.totals.used.total();
  if (limit.dollars) *limit.dollars -= done.cost.value_or(0);
  return (!limit.tokens || *limit.tokens > 0) && (!limit.dollars || *limit.dollars > 0);
}

}  // namespace

CLI::Option* add_language_model_flags(CLI::App& command,
                                      const std::shared_ptr<LanguageModelFlags>& flags) {
  auto* asked = command.add_flag("--language-model", flags->asked,
                                 "Explanations by a language model behind a chat server");
  LanguageModelExplainOptions& explain = flags->run.explain;
  ChatEndpoint& endpoint = explain.model.endpoint;
  std::vector<CLI::Option*> options = {
      command.add_option("--base-url", endpoint.base_url,
                         "Server that speaks OpenAI's chat completions, such as "
                         "http://127.0.0.1:8080/v1; nothing else is contacted"),
      command.add_option("--model", endpoint.model, "The language model's name there"),
      command
          .add_option("--api-key-variable", endpoint.api_key_variable,
                      "Environment variable with the API key")
          ->capture_default_str(),
      command.add_option("--of", flags->of, "Model of the family; repeatable (default: all)")
          ->allow_extra_args(false),
      command
          .add_option("--per-class", flags->run.per_class,
                      "Features of each class on each edge, if no --feature is named")
          ->check(CLI::Range(1, 100'000))
          ->capture_default_str(),
      command.add_option("--budget", flags->budget,
                         "Most to spend: dollars such as 2.50, or tokens such as 200000t"),
      command.add_option("--input-price", explain.model.prices.input_per_million,
                         "Dollars per million tokens of prompts"),
      command.add_option("--output-price", explain.model.prices.output_per_million,
                         "Dollars per million tokens of replies"),
      command.add_option("--concurrency", endpoint.concurrency, "Requests at once")
          ->check(CLI::Range(1, 1000))
          ->capture_default_str(),
      command.add_option("--timeout", endpoint.timeout_seconds, "Seconds for one reply")
          ->check(CLI::Range(1, 3600))
          ->capture_default_str(),
      command
          .add_option("--min-examples", explain.counts.min_active_tokens,
                      "Active tokens that a feature needs in each half of the documents")
          ->check(CLI::Range(1, 1'000'000))
          ->capture_default_str(),
      command
          .add_option("--thinking-tokens", explain.model.thinking_tokens,
                      "Added to the limit of each reply, for models that think first")
          ->check(CLI::Range(0, 1'000'000))
          ->capture_default_str(),
      command.add_flag("--max-completion-tokens", explain.model.max_completion_tokens,
                       "Send the limit under this name in place of max_tokens"),
      command.add_flag("--server-temperature", flags->server_temperature,
                       "Leave the temperature to the server (default: 0)"),
      command.add_flag("--estimate", flags->dry_run, "Only say what it would cost")};
  for (CLI::Option* option : options) option->needs(asked);
  return asked;
}

void explain_run_by_language_model(const std::string& run, const std::vector<std::string>& features,
                                   const LanguageModelFlags& flags, const CommonOptions& common) {
  if (flags.run.explain.model.endpoint.base_url.empty()) throw CLI::RequiredError("--base-url");
  if (flags.run.explain.model.endpoint.model.empty()) throw CLI::RequiredError("--model");
  const SavedStudy saved = load_run(run);
  std::vector<std::string> family;
  for (const ModelSettings& member : saved.study.family()) family.push_back(member.name);
  std::map<std::string, std::vector<int32_t>> named;
  for (const std::string& feature : features) {
    const FeatureName name = parse_feature_name(feature, family);
    named[name.model].push_back(static_cast<int32_t>(name.feature));
  }
  LanguageModelRunOptions options = flags.run;
  if (flags.server_temperature) options.explain.model.temperature.reset();
  if (!flags.budget.empty()) options.explain.model.limit = parse_spending_limit(flags.budget);

  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int64_t explained = 0;
  std::string problem;
  bool spent = false;
  for (const std::string& model : flags.of.empty() ? family : flags.of) {
    options.model = model;
    options.features = named[model];  // none: drawn by class
    if (!features.empty() && options.features.empty()) continue;
    if (spent) {
      log_warning(fmt::format("{}: not begun, the budget ended before it", model));
      continue;
    }
    options.confirm = [&](const LanguageModelEstimate& estimate) {
      if (!flags.dry_run) {
        log_info(in_words(model, estimate));
      } else if (common.json) {
        results.push_back(json_of(model, estimate));
      } else {
        fmt::print("{}\n", in_words(model, estimate));
      }
      return !flags.dry_run;
    };
    const auto done = run_language_model_explanations(saved, run, options);
    if (flags.dry_run) continue;
    if (common.json) {
      const auto file = language_model_explanations_file(run, model);
      results.push_back(nlohmann::ordered_json::parse(read_file(file)));
    } else {
      print_explanations(done);
    }
    explained += done.explained();
    for (const LanguageModelExplanation& one : done.features) {
      if (problem.empty()) problem = one.first_problem;
    }
    spent = done.stopped == "budget" || !spend(options.explain.model.limit, done);
  }
  if (common.json) print_json(results);
  if (flags.dry_run) return;
  if (explained == 0) {
    throw Error(fmt::format("{}: no feature was explained{}", run,
                            problem.empty() ? "" : "; the first problem: " + problem));
  }
  log_info("featflow report " + run + " shows them");
}

}  // namespace featflow
