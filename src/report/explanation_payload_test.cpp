#include "report/explanation_payload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "report/overview.hpp"
#include "report/synthetic_study.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests
using ::testing::HasSubstr;
using ::testing::Not;

const ReportModel& lua() { return study().inputs.models[1]; }

TEST(ReportExplanations, AreThoseOfTheirStage) {
  const Json file = read_stage_json(lua().explanations);
  const Json& summary = overview().at("models").at(1).at("explanations");
  EXPECT_EQ(summary.at("threshold_tokens"), 30);
  EXPECT_EQ(summary.at("summary"), file.at("summary"));
  EXPECT_EQ(summary.at("references").at(0).at("name"), "shuffled features");
  EXPECT_EQ(summary.at("references").at(0).at("median_score"), 0.02);
  EXPECT_EQ(summary.at("groups"), file.at("groups"));
  EXPECT_EQ(summary.at("path_groups").at("BabyPython → Lua").at("code"), 0.5);
  EXPECT_TRUE(summary.at("corpus_groups").is_null());

  const Json texts = report().chunk(overview().at("models").at(1).at("texts").get<int64_t>());
  ASSERT_EQ(texts.at("features").size(), file.at("features").size());
  int64_t before = -1;
  for (const Json& row : texts.at("features")) {
    const auto feature = row.at(0).get<int64_t>();
    EXPECT_GT(feature, before);  // by feature, whatever the file's order
    before = feature;
    for (const Json& given : file.at("features")) {
      if (given.at("feature") != feature) continue;
      EXPECT_EQ(row.at(1), given.at("text"));
      EXPECT_NEAR(row.at(2).get<double>(), given.at("score").get<double>(), 5e-4);
      EXPECT_EQ(row.at(3).is_null(), feature == 0);
      EXPECT_EQ(row.at(5), given.at("group"));
    }
  }
  const Json& said = texts.at("language_model").at(0);
  EXPECT_EQ(said, Json({0, "words of a <b>story</b>", 0.4, nullptr, 0.7}));
  EXPECT_EQ(summary.at("language_model"), texts.at("language_model").size());
  EXPECT_TRUE(overview().at("models").at(0).at("explanations").is_null());
  EXPECT_TRUE(overview().at("models").at(0).at("texts").is_null());
}

TEST(ReportExplanations, LogitWeightsAreOfTheirFeatures) {
  const Json with = feature_page(1, 0).at("logits");
  EXPECT_EQ(with, Json({{3, 5, 7, 9, 11, 13}, {4}}));  // as many as the budget says
  EXPECT_TRUE(feature_page(1, 2).at("logits").is_null());
  EXPECT_FALSE(feature_page(0, 0).contains("logits"));
}

template <typename Change>
std::string message_of(const char* which, Change change) {
  ReportModel model = lua();
  fs::path ReportModel::*const member = which == std::string("rules") ? &ReportModel::explanations
                                        : which == std::string("words")
                                            ? &ReportModel::language_model_explanations
                                            : &ReportModel::logit_weights;
  Json json = read_stage_json(model.*member);
  change(json);
  model.*member = study().folder() / "bad.json";
  write_file_atomic(model.*member, json.dump());
  try {
    explanation_payload(model, kFeatures);
    logit_payload(model, kFeatures, study().tokenizer().vocab_size(), 6);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.json: "));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "";
}

TEST(ReportExplanations, RefusesFilesThatDoNotFit) {
  const auto rules = [](auto change) { return message_of("rules", change); };
  const char* malformed = "not the file that its stage writes";
  for (const char* key : {"threshold_tokens", "summary", "references", "groups", "features"}) {
    EXPECT_THAT(rules([&](Json& json) { json.erase(key); }), HasSubstr(malformed)) << key;
  }
  EXPECT_THAT(rules([](Json& json) { json = Json::array(); }), HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["groups"]["code"] = "half"; }), HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["path_groups"] = {{"a", 1}}; }), HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["summary"]["median_ratio"] = "x"; }),
              HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["features"][0]["text"] = 1; }), HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["features"][0]["score"] = "high"; }),
              HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["features"][0].erase("token_score"); }),
              HasSubstr(malformed));
  EXPECT_THAT(rules([](Json& json) { json["model"] = "Base"; }),
              HasSubstr("of the model 'Base', but 'Lua' was expected"));
  EXPECT_THAT(rules([](Json& json) { json["features"][0]["feature"] = kFeatures; }),
              HasSubstr("feature 280 of 'Lua', which has 280 features"));
  EXPECT_THAT(rules([](Json& json) { json["features"][0]["feature"] = -1; }),
              HasSubstr("feature -1 of 'Lua'"));
  EXPECT_THAT(rules([](Json& json) { json["features"][1] = json["features"][0]; }),
              HasSubstr("stands there twice"));
  EXPECT_THAT(message_of("words", [](Json& json) { json["features"][0].erase("explanation"); }),
              HasSubstr(malformed));
  EXPECT_THAT(message_of("logits", [](Json& json) { json["features"][0]["promoted"] = {400}; }),
              HasSubstr("token 400 of feature"));
  EXPECT_THAT(message_of("logits", [](Json& json) { json["features"][0].erase("suppressed"); }),
              HasSubstr(malformed));
}

}  // namespace
}  // namespace featflow
