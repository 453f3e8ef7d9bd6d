#include "report/results_database.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <vector>

#include "core/error.hpp"
#include "features/statistics.hpp"
#include "flow/verdict.hpp"
#include "matching/matches.hpp"
#include "report/synthetic_study.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using synthetic::kFeatures;
using synthetic::study;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// The database of the synthetic study, and what SQLite says to a question.
class Written {
 public:
  Written() : file_(folder_ / kResultsFile) { write_results_database(study().inputs, file_); }
  const std::filesystem::path& file() const { return file_; }
  std::vector<std::vector<std::string>> ask(const std::string& sql) const {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open_v2(file_.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    std::vector<std::vector<std::string>> rows;
    const auto add = [](void* to, int columns, char** values, char**) {
      auto& row = static_cast<std::vector<std::vector<std::string>>*>(to)->emplace_back();
      for (int i = 0; i < columns; ++i) row.emplace_back(values[i] ? values[i] : "NULL");
      return 0;
    };
    char* reason = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), add, &rows, &reason), SQLITE_OK)
        << (reason ? reason : "");
    sqlite3_free(reason);
    sqlite3_close(handle);
    return rows;
  }
  int64_t count(const std::string& from) const {
    return std::stoll(ask("SELECT count(*) FROM " + from).at(0).at(0));
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path file_;
};

const Written& written() {
  static const Written database;
  return database;
}

TEST(ResultsDatabase, HasEveryFeatureWithItsStatistics) {
  EXPECT_EQ(written().count("features"), 4 * kFeatures);
  const FeatureStatistics statistics = feature_statistics(study().activations(1));
  for (const int64_t j : {int64_t{0}, int64_t{77}, kFeatures - 1}) {
    const auto rows = written().ask(
        "SELECT active_tokens, active_documents, density, maximum FROM features WHERE model = "
        "'Lua' AND feature = " +
        std::to_string(j));
    ASSERT_EQ(rows.size(), 1U);
    const auto at = static_cast<size_t>(j);
    EXPECT_EQ(rows[0][0], std::to_string(statistics.active_tokens[at]));
    EXPECT_EQ(rows[0][1], std::to_string(statistics.active_documents[at]));
    EXPECT_NEAR(std::stod(rows[0][2]), statistics.density(j), 1e-9);
    EXPECT_NEAR(std::stod(rows[0][3]), statistics.maximum[at], 1e-6);
  }
  for (const ModelFlow& model : study().flow().models) {
    EXPECT_EQ(written().count("features WHERE measurable AND model = '" + model.name + "'"),
              model.counts.measurable);
  }
}

TEST(ResultsDatabase, HasTheExplanationsAsText) {
  const auto rows = written().ask(
      "SELECT feature, explanation FROM features WHERE explanation LIKE '%<script>%' LIMIT 1");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_THAT(rows[0][1], HasSubstr(std::string(synthetic::kMarkup)));
  EXPECT_GT(written().count("features WHERE description IS NOT NULL"), 0);
}

TEST(ResultsDatabase, CountsTheEdgesAsTheFlowDoes) {
  for (const EdgeFlow& edge : study().flow().family) {
    const std::string where =
        " WHERE parent = '" + edge.parent + "' AND child = '" + edge.child + "'";
    EXPECT_EQ(written().count("edges" + where), std::ssize(edge.thresholds));
    const auto rows = written().ask(
        "SELECT persisting_parents, disappearing, persisting_children, emerging, one_to_one FROM "
        "edges" +
        where + " AND abs(threshold - 0.8) < 1e-9");
    ASSERT_EQ(rows.size(), 1U);
    const auto text = [](const auto& list) { return std::to_string(list.size()); };
    EXPECT_EQ(rows[0], (std::vector{text(edge.persisting_parents), text(edge.disappearing),
                                    text(edge.persisting_children), text(edge.emerging),
                                    text(edge.one_to_one)}));
    const auto fates = [&](const char* condition) {
      return written().count("fates" + where + " AND " + condition);
    };
    EXPECT_EQ(fates("class = 'emerging'"), std::ssize(edge.emerging));
    EXPECT_EQ(fates("class = 'disappearing'"), std::ssize(edge.disappearing));
    if (!edge.verdict) {
      EXPECT_EQ(fates("verdict IS NOT NULL"), 0);
      continue;
    }
    const auto expect_verdicts = [&](const std::string& model, const SideVerdict& side,
                                     const std::string& absent) {
      for (const auto& [name, list] : {std::pair("persists", &side.persists),
                                       {absent.c_str(), &side.absent},
                                       {"seed_dependent", &side.seed_dependent},
                                       {"unresolved", &side.unresolved}}) {
        const auto listed =
            written().ask("SELECT feature FROM fates" + where + " AND model = '" + model +
                          "' AND verdict = '" + name + "' ORDER BY feature");
        std::vector<int32_t> features;
        for (const auto& row : listed) features.push_back(std::stoi(row[0]));
        EXPECT_EQ(features, *list) << model << " " << name;
      }
    };
    expect_verdicts(edge.parent, edge.verdict->of_parent, "disappeared");
    expect_verdicts(edge.child, edge.verdict->of_child, "emerged");
  }
}

TEST(ResultsDatabase, GivesEveryPartnerOfAFeatureTheBestFirst) {
  const ResultsDatabase results(written().file());
  size_t found = 0;
  for (const int64_t feature : {int64_t{0}, int64_t{100}, kFeatures - 1}) {
    size_t expected = 0;
    for (const std::filesystem::path& folder : study().inputs.matches) {
      const Matches matches = load_matches(folder);
      for (const FeaturePair& pair : matches.pairs) {
        expected += (matches.a.model == "Lua" && pair.feature_a == feature) ||
                    (matches.b.model == "Lua" && pair.feature_b == feature);
      }
    }
    const std::vector<Partner> partners = results.partners("Lua", feature);
    EXPECT_EQ(partners.size(), expected);
    found += expected;
    for (size_t i = 1; i < partners.size(); ++i) {
      EXPECT_GE(partners[i - 1].correlation, partners[i].correlation);
    }
    for (const Partner& partner : partners) EXPECT_NE(partner.model, "Lua");
  }
  EXPECT_GT(found, 3U);
  EXPECT_EQ(written().count("matches WHERE correlation < 0.3"), 0);
  EXPECT_THAT([&] { results.partners("Lua", kFeatures); },
              ThrowsMessage<Error>(HasSubstr("no feature 280 of a model 'Lua'")));
  EXPECT_THAT([&] { results.partners("nobody'; --", 0); },
              ThrowsMessage<Error>(HasSubstr("no feature 0")));
}

TEST(ResultsDatabase, IsMadeAnewAndSaysWhatIsWrong) {
  TemporaryFolder folder;
  const std::filesystem::path file = folder / kResultsFile;
  write_results_database(study().inputs, file);
  const std::string first = read_file(file);
  write_results_database(study().inputs, file);
  EXPECT_EQ(read_file(file) == first, true);  // not printed: megabytes
  EXPECT_FALSE(std::filesystem::exists(folder / "results.sqlite.unfinished"));
  EXPECT_THAT([&] { write_results_database(study().inputs, folder / "none" / "x.sqlite"); },
              ThrowsMessage<Error>(HasSubstr("none/x.sqlite")));
  EXPECT_THAT([&] { ResultsDatabase(folder / "missing.sqlite"); },
              ThrowsMessage<Error>(HasSubstr("missing.sqlite")));
  write_file_atomic(folder / "text.sqlite", "this is no database, whatever its name says");
  EXPECT_THAT([&] { ResultsDatabase(folder / "text.sqlite"); },
              ThrowsMessage<Error>(HasSubstr("text.sqlite: file is not a database")));
}

}  // namespace
}  // namespace featflow
