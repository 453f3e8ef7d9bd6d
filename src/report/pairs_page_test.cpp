#include "report/pairs_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "features/dense_activations.hpp"
#include "report/decoded_page.hpp"
#include "storage/csv.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"
#include "tokens/token_shard.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

constexpr std::string_view kMarkup = "<script>alert(1)</script>";
constexpr int64_t kFeatures = 12;

/// A text with markup in it, and three models with random activations on it.
class Family {
 public:
  Family() {
    std::vector<std::string> documents;
    Rng rng(1);
    const std::vector<std::string> words = {"local x = nil\n", "once upon a time ", "def g(y):\n",
                                            std::string(kMarkup)};
    for (int d = 0; d < 30; ++d) {
      std::string& document = documents.emplace_back();
      // Numbers, so that no stretch of the text stands there twice.
      for (int w = 0; w < 12; ++w)
        document += words[rng.below(4)] + std::to_string(rng.below(10'000));
    }
    page.tokenizer = folder_ / "tokenizer.model";
    Tokenizer::train({.vocab_size = 320}, documents, page.tokenizer);
    text = tokenize(Tokenizer::load(page.tokenizer), documents);
    page.tokens = folder_ / "tokens.safetensors";
    save_token_shard(text, page.tokens);
    for (const char* model : {"Base", "Lua", "Stories"}) {
      dense[model] = random_dense(text.size(), kFeatures, 0.2, dense.size());
      FeatureActivations activations = activations_from_dense(dense[model], kFeatures);
      for (int64_t i = 0; i < text.size(); ++i) {
        activations.documents.push_back(static_cast<int32_t>(text.document_of(i)));
      }
      activations.model = model;
      page.activations[model] = folder_ / (std::string(model) + ".safetensors");
      save_feature_activations(activations, page.activations[model]);
    }
    page.edges = {{"Base", "Lua"}, {"Base", "Stories"}};
    page.sample.bands = correlation_bands({0.5, 0.8, 1});
    page.sample.available = {9, 9};
    page.sample.pairs = {{0, 1, {7, 3, 0.8125f}, true},
                         {1, 0, {2, 11, 0.5625f}, false},
                         {0, 0, {4, 3, 0.625f}, false}};
    page.examples = 6;
    page.context = 5;
  }
  std::filesystem::path write(const std::string& name) const {
    write_pairs(page, folder_ / name);
    return folder_ / name;
  }

  PairsPage page;
  TokenShard text;
  std::map<std::string, DenseRows> dense;

 private:
  TemporaryFolder folder_;
};

const Family& family() {
  static const Family made;
  return made;
}

std::vector<Json> read_lines(const std::filesystem::path& file) {
  std::vector<Json> lines;
  const std::string text = read_file(file);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    lines.push_back(Json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

/// The tokens of an example found again in the text, by brute force, and the levels that a feature
/// has there.
std::set<std::string> levels_in_text(const Json& ids, const DenseRows& dense, int32_t feature) {
  float maximum = 0;
  for (const auto& row : dense) maximum = std::max(maximum, row[static_cast<size_t>(feature)]);
  const std::vector<int32_t>& tokens = family().text.tokens;
  std::set<std::string> found;
  for (size_t at = 0; at + ids.size() <= tokens.size(); ++at) {
    if (!std::equal(ids.begin(), ids.end(), tokens.begin() + static_cast<int64_t>(at))) continue;
    Json levels = Json::array();
    for (size_t i = 0; i < ids.size(); ++i) {
      const float value = dense[at + i][static_cast<size_t>(feature)];
      if (value == 0) continue;
      levels.push_back(i);
      levels.push_back(std::max(1L, std::lround(255 * (value / maximum))));
    }
    found.insert(levels.dump());
  }
  return found;
}

TEST(PairsPage, ShowsTheActivationsOfBothFeatures) {
  const DecodedPage html(family().write("shown") / "pairs.html");
  const Json overview = html.chunk(0);
  ASSERT_EQ(overview["pairs"].size(), 3u);
  EXPECT_EQ(overview["intervals"], 3);
  for (size_t i = 0; i < 3; ++i) {
    const SampledPair& sampled = family().page.sample.pairs[i];
    const auto& edge = family().page.edges[static_cast<size_t>(sampled.edge)];
    const std::string &parent = edge.first, &child = edge.second;
    const Json pair = html.chunk(overview["pairs"][i]["chunk"].get<int64_t>());
    const auto expected = [&](const std::string& side, const Json& example) {
      const bool of_parent = (side == "left") == sampled.parent_left;
      return levels_in_text(example["tokens"], family().dense.at(of_parent ? parent : child),
                            of_parent ? sampled.pair.feature_a : sampled.pair.feature_b);
    };
    for (const std::string side : {"left", "right"}) {
      ASSERT_EQ(pair[side].size(), 6u);
      std::multiset<int64_t> intervals;
      for (const Json& example : pair[side]) {
        EXPECT_THAT(expected(side, example), testing::Contains(example["levels"].dump()));
        intervals.insert(example["interval"].get<int64_t>());
        // The token that it was chosen for is active.
        bool peak_active = false;
        for (size_t k = 0; k < example["levels"].size(); k += 2) {
          peak_active |= example["levels"][k] == example["peak"];
        }
        EXPECT_TRUE(peak_active);
      }
      EXPECT_THAT(intervals, testing::ElementsAre(0, 0, 0, 1, 2, 3));
      EXPECT_THAT(pair[side][0]["levels"], testing::Contains(Json(255)))
          << "the strongest comes first";
    }
    ASSERT_EQ(pair["same_text"].size(), 6u);
    for (const Json& example : pair["same_text"]) {
      EXPECT_THAT(expected("left", example), testing::Contains(example["left_levels"].dump()));
      EXPECT_THAT(expected("right", example), testing::Contains(example["right_levels"].dump()));
      for (const std::string side : {"left", "right"}) {
        for (const Json& own : pair[side]) EXPECT_NE(own["tokens"], example["tokens"]);
      }
    }
  }
}

TEST(PairsPage, TheKeyKnowsWhatThePagesDoNot) {
  const std::filesystem::path folder = family().write("blind");
  const DecodedPage html(folder / "pairs.html");
  std::string decoded;
  for (int64_t chunk = 0; chunk < 5; ++chunk) {
    if (chunk != 1) decoded += html.chunk(chunk).dump();  // chunk 1 is the vocabulary
  }
  for (const char* secret : {"Base", "Lua", "Stories", "0.8125", "0.5625", "0.625", "0.5-0.8",
                             "0.8-1", "feature", "correlation", "band"}) {
    EXPECT_THAT(decoded, Not(HasSubstr(secret)));
    EXPECT_THAT(html.html(), Not(HasSubstr(std::string(secret) + "--")));
  }
  const std::vector<Json> lines = read_lines(folder / "pairs.jsonl");
  const CsvTable key = CsvTable::load(folder / "key.csv");
  ASSERT_EQ(lines.size(), 3u);
  ASSERT_EQ(key.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    std::vector<std::string> names;
    for (const auto& [name, value] : lines[i].items()) names.push_back(name);
    EXPECT_THAT(names, testing::ElementsAre("id", "left", "right", "same_text"));
    EXPECT_EQ(lines[i]["id"], key.at(i, key.column("id")));
    EXPECT_EQ(html.chunk(0)["pairs"][i]["id"], lines[i]["id"]);
  }
  EXPECT_EQ(key.at(1, key.column("edge")), "Base--Stories");
  EXPECT_EQ(key.at(1, key.column("band")), "0.5-0.8");
  EXPECT_EQ(key.at(1, key.column("feature_parent")), "2");
  EXPECT_EQ(key.at(1, key.column("feature_child")), "11");
  EXPECT_EQ(key.at(1, key.column("correlation")), "0.5625");
  EXPECT_EQ(key.at(1, key.column("left")), "child");
}

TEST(PairsPage, MarkupInTheTextIsData) {
  const std::filesystem::path folder = family().write("markup");
  EXPECT_THAT(DecodedPage(folder / "pairs.html").html(), Not(HasSubstr(std::string(kMarkup))));
  std::string shown;
  for (const Json& line : read_lines(folder / "pairs.jsonl")) {
    for (const char* part : {"left", "right", "same_text"}) {
      for (const Json& example : line[part]) {
        for (const Json& token : example["tokens"]) shown += token.get<std::string>();
      }
    }
  }
  EXPECT_THAT(shown, HasSubstr("<script>"));
}

TEST(PairsPage, TwoExportsGiveTheSameBytesAndAnotherSampleOtherIds) {
  const std::filesystem::path first = family().write("first"), second = family().write("second");
  for (const char* file : {"pairs.html", "pairs.jsonl", "key.csv"}) {
    EXPECT_EQ(read_file(first / file), read_file(second / file));
  }
  Family other;
  other.page.sample.pairs.pop_back();
  const CsvTable key = CsvTable::load(first / "key.csv");
  const CsvTable other_key = CsvTable::load(other.write("other") / "key.csv");
  EXPECT_NE(key.at(0, 0), other_key.at(0, 0));
}

TEST(PairsPage, RefusesWhatDoesNotFitTogether) {
  Family changed;
  changed.page.sample.pairs[0].pair.feature_b = kFeatures;
  EXPECT_THAT([&] { changed.write("x"); },
              ThrowsMessage<Error>(HasSubstr("12 features, but its matches name feature 12")));
  Family other;
  FeatureActivations activations = load_feature_activations(other.page.activations["Lua"]);
  activations.corpus = "another text";
  save_feature_activations(activations, other.page.activations["Lua"]);
  EXPECT_THAT([&] { other.write("x"); },
              ThrowsMessage<Error>(HasSubstr("encoded on another text")));
}

}  // namespace
}  // namespace featflow
