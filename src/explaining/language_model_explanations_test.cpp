#include "explaining/language_model_explanations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/interrupt.hpp"
#include "explaining/planted_colours.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Reply = ChatServer::Reply;

constexpr const char* kKeyVariable = "FEATFLOW_TEST_KEY";
const PlantedColours& planted() {
  static const PlantedColours colours;
  return colours;
}

class LanguageModelExplanationsTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv(kKeyVariable, "sk-secret-0123456789", 1); }
  void TearDown() override { ::unsetenv(kKeyVariable); }

  LanguageModelExplainOptions options(const ChatServer& server) const {
    LanguageModelExplainOptions options;
    options.model.endpoint.base_url = server.base_url();
    options.model.endpoint.model = "rules";
    options.model.endpoint.api_key_variable = kKeyVariable;
    options.model.endpoint.concurrency = 2;
    options.model.endpoint.attempts = 2;
    options.model.endpoint.first_wait_seconds = 0.01;
    options.model.endpoint.timeout_seconds = 20;
    options.model.prices = {10, 30};
    options.model.replies = folder_ / "replies.jsonl";
    options.out = folder_ / "language_model_explanations.json";
    return options;
  }
  static LanguageModelExplanations explain(const LanguageModelExplainOptions& options,
                                           std::vector<int32_t> features = {0, 2, 1}) {
    return explain_by_language_model(planted().source(), features, options);
  }

  TemporaryFolder folder_;
};

struct Reference {
  std::vector<double> simulated, actual;
  double positives = 0, negatives = 0, detected = 0, rejected = 0;      // detection
  double right = 0, wrong = 0, right_accepted = 0, wrong_rejected = 0;  // fuzzing
};

/// From what the server was asked and answered, and the planted activations.
Reference reference(const ChatServer& server, int32_t feature, const std::string& explanation) {
  Reference result;
  for (const ChatServer::Request& request : server.requests()) {
    const AskedPrompt asked(request);
    if (asked.kind == "explain" || !asked.about(explanation)) continue;
    const json answer = json::parse(follow_rules(asked));
    const std::vector<std::string> texts = asked.shown;
    EXPECT_EQ(texts.size(), answer.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      double strongest = 0;
      for (const int64_t position : positions_in(texts[i])) {
        strongest = std::max(strongest, planted().activation(position, feature));
      }
      const bool yes = answer[i] != 0;
      if (asked.kind == "simulate") {
        result.simulated.push_back(answer[i]);
        result.actual.push_back(strongest);
      } else if (asked.kind == "detect") {
        ++(strongest > 0 ? result.positives : result.negatives);
        if (strongest > 0)
          result.detected += yes;
        else
          result.rejected += !yes;
      } else {
        ++(strongest > 0 ? result.right : result.wrong);
        if (strongest > 0)
          result.right_accepted += yes;
        else
          result.wrong_rejected += !yes;
      }
    }
  }
  return result;
}

double reference_r(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<long double>(x.size());
  long double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sx += x[i], sy += y[i], sxx += x[i] * x[i], syy += y[i] * y[i], sxy += x[i] * y[i];
  }
  return static_cast<double>((n * sxy - sx * sy) /
                             std::sqrt((n * sxx - sx * sx) * (n * syy - sy * sy)));
}

TEST_F(LanguageModelExplanationsTest, ScoresAreThoseOfWhatTheModelAnswered) {
  const ChatServer server(chat_model());
  const auto result = explain(options(server));
  ASSERT_EQ(result.features.size(), 2U);
  EXPECT_EQ(result.stopped, "");
  const std::string explanations[] = {"names of colours", "the number"};
  for (const int32_t feature : {0, 1}) {
    const LanguageModelExplanation& one = result.features[feature];
    EXPECT_EQ(one.feature, feature);
    EXPECT_EQ(one.explanation, explanations[feature]);
    const Reference expected = reference(server, feature, explanations[feature]);
    EXPECT_EQ(one.examples.simulated_tokens, std::ssize(expected.actual));
    EXPECT_NEAR(one.simulation_score.value(), reference_r(expected.simulated, expected.actual),
                1e-10);
    EXPECT_NEAR(
        one.detection.value(),
        (expected.detected / expected.positives + expected.rejected / expected.negatives) / 2,
        1e-12);
    EXPECT_NEAR(
        one.fuzzing.value(),
        (expected.right_accepted / expected.right + expected.wrong_rejected / expected.wrong) / 2,
        1e-12);
    EXPECT_EQ(expected.positives, 10);
    EXPECT_EQ(expected.negatives, 10);
    EXPECT_EQ(one.examples.detected, 20);
    EXPECT_EQ(one.examples.fuzzed, 20);
    EXPECT_EQ(one.failures.total(), 0);
    EXPECT_GT(*one.simulation_score, 0.7);
    EXPECT_GT(*one.simulation_spearman, 0.7);
    EXPECT_GT(*one.fuzzing, 0.7);
  }
  // Nothing but the word decides for feature 1, so detection is perfect.
  EXPECT_EQ(result.features[1].detection, 1);
  ASSERT_EQ(result.skipped.size(), 1U);
  EXPECT_EQ(result.skipped[0].feature, 2);
  EXPECT_THAT(result.skipped[0].active_tokens, ElementsAre(1, 1));
  EXPECT_EQ(result.totals.requests, server.request_count());
  EXPECT_NEAR(*result.cost,
              (10.0 * static_cast<double>(result.totals.used.input) +
               30.0 * static_cast<double>(result.totals.used.output)) /
                  1e6,
              1e-12);
}

TEST_F(LanguageModelExplanationsTest, ExplainedAndScoredOnDifferentDocuments) {
  const ChatServer server(chat_model());
  explain(options(server));
  int64_t explained = 0;
  for (const ChatServer::Request& request : server.requests()) {
    const AskedPrompt asked(request);
    explained += asked.kind == "explain";
    for (const std::string& text : asked.shown) {
      for (const int64_t position : positions_in(text)) {
        ASSERT_EQ((position / kPlantedDocumentTokens) % 2, asked.kind == "explain" ? 0 : 1);
      }
    }
  }
  EXPECT_EQ(explained, 2);
}

TEST_F(LanguageModelExplanationsTest, NoTokenIsShownTwice) {
  const ChatServer server(chat_model());
  explain(options(server), {0});
  std::map<std::string, std::map<int64_t, int>> seen;
  for (const ChatServer::Request& request : server.requests()) {
    const AskedPrompt asked(request);
    for (const std::string& text : asked.shown) {
      for (const int64_t position : positions_in(text)) ++seen[asked.kind][position];
    }
  }
  for (const auto& [kind, positions] : seen) {
    for (const auto& [position, count] : positions) EXPECT_EQ(count, 1) << kind << position;
  }
}

TEST_F(LanguageModelExplanationsTest, ASecondRunSendsNothing) {
  const ChatServer server(chat_model());
  const auto before =
      estimate_language_model(planted().source(), std::vector{0, 2, 1}, options(server));
  EXPECT_EQ(server.request_count(), 0);
  EXPECT_EQ(before.features, 2);
  EXPECT_EQ(before.skipped, 1);
  EXPECT_EQ(before.cached, 0);
  const auto first = explain(options(server));
  const int64_t sent = server.request_count();
  EXPECT_EQ(before.requests, sent);
  EXPECT_NEAR(static_cast<double>(before.expected.input),
              static_cast<double>(first.totals.used.input) * 3 / 4,
              0.15 * static_cast<double>(first.totals.used.input));

  const auto second = explain(options(server));
  EXPECT_EQ(server.request_count(), sent);
  EXPECT_EQ(second.totals.requests, 0);
  EXPECT_EQ(second.totals.cached, sent);
  EXPECT_EQ(second.cost, 0);
  EXPECT_EQ(second.cost_of_all, first.cost);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(second.features[i].simulation_score, first.features[i].simulation_score);
    EXPECT_EQ(second.features[i].fuzzing, first.features[i].fuzzing);
  }
  const auto after =
      estimate_language_model(planted().source(), std::vector{0, 2, 1}, options(server));
  EXPECT_EQ(after.requests, 0);
  EXPECT_EQ(after.cached, sent);
}

TEST_F(LanguageModelExplanationsTest, TheBudgetIsKeptAndTheRestFollows) {
  const ChatServer server(chat_model());
  LanguageModelExplainOptions limited = options(server);
  const auto whole = [&] {
    LanguageModelExplainOptions other = limited;
    other.model.replies = folder_ / "other.jsonl";
    return explain(other);
  }();
  limited.model.limit.tokens = whole.totals.used.total() * 3 / 4;
  const auto stopped = explain(limited);
  EXPECT_EQ(stopped.stopped, "budget");
  EXPECT_EQ(stopped.features.size(), 1U);  // The prompts of one come before those of the next.
  EXPECT_LE(stopped.totals.used.total(), *limited.model.limit.tokens);
  EXPECT_GT(stopped.totals.used.total(), *limited.model.limit.tokens / 2);
  EXPECT_EQ(json::parse(read_file(limited.out))["stopped"], "budget");

  const auto rest = explain(limited);
  EXPECT_EQ(rest.stopped, "");
  EXPECT_EQ(rest.features[1].simulation_score, whole.features[1].simulation_score);
  EXPECT_EQ(rest.totals.requests + stopped.totals.requests, whole.totals.requests);

  limited.model.replies = folder_ / "third.jsonl";
  limited.model.limit = {.dollars = 0.001, .tokens = {}};
  const int64_t sent = server.request_count();
  EXPECT_EQ(explain(limited).stopped, "budget");
  EXPECT_EQ(server.request_count(), sent);
}

TEST_F(LanguageModelExplanationsTest, WhatWasExplainedAlikeStays) {
  const ChatServer server(chat_model());
  LanguageModelExplainOptions own = options(server);
  const auto written = [&] {
    std::vector<int> numbers;
    const json file = json::parse(read_file(own.out));
    for (const json& row : file["features"]) numbers.push_back(row["feature"]);
    return numbers;
  };
  explain(own, {1});
  EXPECT_THAT(written(), ElementsAre(1));
  const std::string of_one = json::parse(read_file(own.out))["features"][0].dump();
  explain(own, {0});
  EXPECT_THAT(written(), ElementsAre(0, 1));
  EXPECT_EQ(json::parse(read_file(own.out))["features"][1].dump(), of_one);

  // What was explained otherwise goes, unless the new run is stopped.
  own.model.endpoint.model = "other rules";
  own.model.limit.tokens = 1;
  const std::string before = read_file(own.out);
  EXPECT_EQ(explain(own, {0}).stopped, "budget");
  EXPECT_EQ(read_file(own.out), before);
  own.model.limit = {};
  explain(own, {0});
  EXPECT_THAT(written(), ElementsAre(0));
  // Another autoencoder's features are others, whatever their numbers.
  LanguageModelSource retrained = planted().source();
  retrained.fingerprint = "another";
  explain_by_language_model(retrained, std::vector{1}, own);
  EXPECT_THAT(written(), ElementsAre(1));
  EXPECT_EQ(json::parse(read_file(own.out))["activations"], "another");
  // Rows that are none are left out.
  explain(own, {0});
  auto rows = nlohmann::ordered_json::parse(read_file(own.out));
  rows["features"].push_back(7);
  rows["features"].push_back({{"feature", "x"}});
  write_file_atomic(own.out, rows.dump());
  explain(own, {1});
  EXPECT_THAT(written(), ElementsAre(0, 1));
  // A file that is damaged is replaced.
  write_file_atomic(own.out, "{\"features\": [");
  explain(own, {0});
  EXPECT_THAT(written(), ElementsAre(0));
}

TEST_F(LanguageModelExplanationsTest, MalformedRepliesAreCountedAndNotScored) {
  std::atomic<int> simulations = 0;
  const ChatServer server(chat_model([&](const AskedPrompt& asked) -> std::string {
    if (asked.kind == "explain" && asked.user.find("seven_") != std::string::npos &&
        follow_rules(asked).find("number") != std::string::npos) {
      return "It is about numbers.";
    }
    if (asked.kind == "simulate" && ++simulations <= 3) return simulations == 1 ? "[0]" : "zero";
    if (asked.kind == "detect") return "I cannot tell.";
    return follow_rules(asked);
  }));
  LanguageModelExplainOptions one = options(server);
  one.model.endpoint.concurrency = 1;
  const auto result = explain(one);
  ASSERT_EQ(result.features.size(), 2U);
  const LanguageModelExplanation& colours = result.features[0];
  EXPECT_EQ(colours.failures.simulation, 3);
  EXPECT_EQ(colours.failures.detection, 4);
  EXPECT_EQ(colours.detection, std::nullopt);
  EXPECT_EQ(colours.examples.detected, 0);
  EXPECT_GT(colours.simulation_score.value(), 0.6);
  EXPECT_THAT(colours.first_problem, HasSubstr("no list of 24 integers from 0 to 9"));
  const LanguageModelExplanation& number = result.features[1];
  EXPECT_EQ(number.explanation, std::nullopt);
  EXPECT_EQ(number.failures.explanation, 1);
  EXPECT_EQ(number.simulation_score, std::nullopt);
  EXPECT_THAT(number.first_problem, HasSubstr("[EXPLANATION]"));
  EXPECT_EQ(result.malformed, 8);
  EXPECT_EQ(result.explained(), 1);

  const json written = json::parse(read_file(one.out));
  EXPECT_TRUE(written["features"][1]["simulation_score"].is_null());
  EXPECT_EQ(written["totals"]["malformed"], 8);
}

TEST_F(LanguageModelExplanationsTest, FaultsOnTheWayAreSurvived) {
  std::atomic<int> count = 0;
  const auto good = chat_model();
  const ChatServer server([&](const ChatServer::Request& request) -> Reply {
    switch (++count % 9) {
      case 1:
        return {500, "oh"};
      case 4:
        return {429, "slower"};
      case 7:
        return {.status = 200, .body = good(request).body, .cut = true};
      default:
        return good(request);
    }
  });
  LanguageModelExplainOptions patient = options(server);
  patient.model.endpoint.attempts = 8;
  const auto result = explain(patient);
  EXPECT_GT(result.totals.retries, 10);
  EXPECT_EQ(result.features.size(), 2U);
  EXPECT_EQ(result.features[0].failures.total() + result.features[1].failures.total(), 0);
}

TEST_F(LanguageModelExplanationsTest, RequestsWithoutAReplyAreCounted) {
  const auto good = chat_model();
  std::atomic<int> simulations = 0;
  std::string down;
  const ChatServer server([&](const ChatServer::Request& request) -> Reply {
    if (AskedPrompt(request).kind == "simulate" && ++simulations == 1) down = request.body;
    return request.body == down ? Reply{500, "down"} : good(request);
  });
  LanguageModelExplainOptions one = options(server);
  one.model.endpoint.concurrency = 1;
  const auto result = explain(one, {0});
  EXPECT_EQ(result.stopped, "");
  EXPECT_EQ(result.features[0].failures.simulation, 1);
  EXPECT_EQ(result.features[0].failures.requests, 1);
  EXPECT_EQ(result.totals.failed_requests, 1);
  EXPECT_EQ(result.malformed, 0);
  EXPECT_GT(result.features[0].simulation_score.value(), 0.6);
  EXPECT_THAT(read_file(one.out), AllOf(HasSubstr("brought no reply"), Not(HasSubstr("127.0"))));
}

TEST_F(LanguageModelExplanationsTest, ARefusedKeyEndsTheRunAndIsNowhere) {
  const auto good = chat_model();
  const ChatServer server([&](const ChatServer::Request& request) -> Reply {
    if (AskedPrompt(request).kind == "fuzz") {
      return {401, R"({"error": {"message": "Incorrect key: sk-secret-0123456789"}})"};
    }
    return good(request);
  });
  try {
    explain(options(server));
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("HTTP 401: 'Incorrect key: [key]'"));
    EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
  }
  EXPECT_EQ(json::parse(read_file(options(server).out))["stopped"], "error");
  for (const char* file : {"replies.jsonl", "language_model_explanations.json"}) {
    const std::string content = read_file(folder_ / file);
    EXPECT_GT(content.size(), 100U);
    EXPECT_THAT(content, Not(HasSubstr("secret")));
    EXPECT_THAT(content, Not(HasSubstr("127.0.0.1"))) << "no host names in results";
  }
}

TEST_F(LanguageModelExplanationsTest, NoMoreRequestsAtOnceThanAllowed) {
  const ChatServer server(chat_model(follow_rules, 0.02));
  LanguageModelExplainOptions three = options(server);
  three.model.endpoint.concurrency = 3;
  explain(three, {1});  // One feature keeps all of them busy.
  EXPECT_EQ(server.most_at_once(), 3);
}

TEST_F(LanguageModelExplanationsTest, RefusesWhatCannotBe) {
  const ChatServer server(chat_model());
  EXPECT_THROW(explain(options(server), {4}), Error);
  EXPECT_THROW(explain(options(server), {1, 1}), Error);
  LanguageModelExplainOptions other = options(server);
  other.counts.excerpt_tokens = 0;
  EXPECT_THROW(explain(other), Error);
  TokenShard shorter = planted().text;
  shorter.tokens.resize(500);
  EXPECT_THROW(
      explain_by_language_model({planted().activations, shorter, planted().source().token_bytes},
                                std::vector{0}, options(server)),
      Error);
  EXPECT_EQ(server.request_count(), 0);
}

// In a process of its own, which begins anew: nothing takes a signal back.
TEST_F(LanguageModelExplanationsTest, CtrlCKeepsWhatIsThere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const ChatServer server(chat_model(follow_rules, 0.1));
  const LanguageModelExplainOptions all = options(server);
  const auto interrupt_and_explain = [&] {
    install_interrupt_handler();
    std::thread signal([&] {
      while (server.request_count() < 5) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ::raise(SIGINT);
    });
    bool thrown = false;
    try {
      explain(all);
    } catch (const Interrupted&) {
      thrown = true;
    }
    signal.join();
    const bool kept = ReplyStore(all.model.replies).size() >= 3;
    const bool said = json::parse(read_file(all.out))["stopped"] == "interrupted";
    std::filesystem::remove_all(folder_.path());
    std::_Exit(thrown && kept && said ? 7 : 1);
  };
  EXPECT_EXIT(interrupt_and_explain(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace featflow
