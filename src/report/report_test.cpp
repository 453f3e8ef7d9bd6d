#include "report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "report/payload.hpp"
#include "report/report_template.hpp"
#include "report/synthetic_study.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests
using ::testing::HasSubstr;
using ::testing::Not;

size_t occurrences(const std::string& text, std::string_view needle) {
  size_t count = 0;
  for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) {
    ++count;
  }
  return count;
}

TEST(Report, IsOneFileThatMayLoadNothing) {
  const std::string& html = report().html();
  EXPECT_NE(html.find("default-src 'none'; script-src 'sha256-"), std::string::npos);
  EXPECT_EQ(html.find(kChunksMarker), std::string::npos);
  // Bodies are large: failures name the needle only.
  const std::string page(report_template());
  for (const char* loads : {" src=", "@import", "XMLHttpRequest", "import(", "eval("}) {
    EXPECT_EQ(page.find(loads), std::string::npos) << loads;
  }
  for (size_t at = page.find("url("); at != std::string::npos; at = page.find("url(", at + 1)) {
    EXPECT_EQ(page[at + 4], '#') << page.substr(at, 40);  // gradients and arrow heads
  }
}

TEST(Report, HoldsNoTextThatIsMarkup) {
  const std::string& html = report().html();
  for (const char* text : {"alert(1)", "Tiny<b>", "<i>below"}) {
    EXPECT_EQ(html.find(text), std::string::npos) << text;
  }
  int64_t chunks = std::ssize(overview().at("samples"));
  for (const Json& model : overview().at("models")) {
    chunks += 1 + std::ssize(model.at("features")) + std::ssize(model.at("paired")) +
              (model.at("texts").is_null() ? 0 : 1);
  }
  const size_t scripts = occurrences(html, "<script");
  const size_t own = occurrences(std::string(report_template()), "<script");
  EXPECT_EQ(scripts, own + static_cast<size_t>(chunks) + 2);  // and the overview, the vocabulary
}

TEST(Report, TwoWritesGiveTheSameBytes) {
  const fs::path again = study().folder() / "again.html";
  write_report(study().inputs, again);
  EXPECT_EQ(read_file(again), report().html());
}

TEST(Report, FewerExamplesWhenTheFileWouldBeTooLarge) {
  ReportInputs inputs = study().inputs;
  inputs.budget.minimum = 1;
  inputs.budget.bytes = std::ssize(report().html()) * 3 / 4;
  const fs::path file = study().folder() / "small.html";
  write_report(inputs, file);
  const DecodedPage small(file);
  EXPECT_LE(std::ssize(small.html()), inputs.budget.bytes);
  const Json budget = small.chunk(0).at("budget");
  EXPECT_LT(budget.at("examples").get<int64_t>(), 6);
  EXPECT_THAT(budget.at("text").get<std::string>(),
              HasSubstr("at most " + std::to_string(budget.at("examples").get<int64_t>())));
}

TEST(Report, WithoutFeaturesItIsStillAReport) {
  ReportInputs inputs;
  inputs.study = "only two names";
  inputs.models.resize(2);
  inputs.models[0].name = "base";
  inputs.models[1].name = "child";
  inputs.models[1].parents = {"base"};
  const fs::path file = study().folder() / "plain.html";
  write_report(inputs, file);
  const Json plain = DecodedPage(file).chunk(0);
  EXPECT_EQ(plain.at("vocabulary"), -1);
  EXPECT_TRUE(plain.at("flow").is_null());
}

template <typename Change>
std::string message_of(Change change) {
  ReportInputs inputs = study().inputs;
  change(inputs);
  try {
    write_report(inputs, study().folder() / "refused.html");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "";
}

TEST(Report, RefusesStageFilesThatDoNotFit) {
  const fs::path bad = study().folder() / "bad.json";
  write_file_atomic(bad, "{\"loss\": 1}\nnot json\n");
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.models[1].metrics = bad; }),
              HasSubstr("bad.json, line 1"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.models[1].evaluation = bad; }),
              HasSubstr("bad.json: not the file that its stage writes"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.sweeps[0].file = bad; }),
              HasSubstr("bad.json"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.flow = bad; }), HasSubstr("bad.json"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.causal = {bad}; }), HasSubstr("bad.json"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.comparisons[0].file = bad; }),
              HasSubstr("bad.json"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.models[1].name = in.models[0].name; }),
              HasSubstr("two models are called 'BabyPython'"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.models[2].name = "another"; }),
              HasSubstr("'Tiny<b>Stories' is not in this report"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.tokens.clear(); }),
              HasSubstr("no matching text"));

  const fs::path shorter = study().folder() / "shorter.safetensors";
  TokenShard cut = study().text();
  cut.tokens.resize(100);
  std::erase_if(cut.document_starts, [](int64_t start) { return start >= 100; });
  save_token_shard(cut, shorter);
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.tokens = shorter; }),
              HasSubstr("expected ascending ones below 100"));
  write_file_atomic(bad, "{\"curve\": [{}]}");
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.sweeps[0].file = bad; }),
              HasSubstr("not the file that its stage writes"));
  // JSON, but of another shape.
  write_file_atomic(bad, "{\"parent\": \"BabyPython\"}");
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.causal = {bad}; }),
              HasSubstr("bad.json: not the file that its stage writes"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.comparisons[0].file = bad; }),
              HasSubstr("bad.json: not the file that its stage writes"));
  Json flow = Json::parse(read_file(study().inputs.flow));
  flow["family"][0]["verdict"].erase("child_features");
  write_file_atomic(bad, flow.dump());
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.flow = bad; }),
              HasSubstr("bad.json: not the file that its stage writes"));
  flow = Json::parse(read_file(study().inputs.flow));
  flow["family"][0]["parent_features"].erase("silent");
  write_file_atomic(bad, flow.dump());
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.flow = bad; }),
              HasSubstr("bad.json: not the file that its stage writes"));
}

}  // namespace
}  // namespace featflow
