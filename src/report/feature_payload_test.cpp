#include "report/feature_payload.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "report/payload.hpp"
#include "report/synthetic_study.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests

/// Activations [n] of one feature, dense.
std::vector<double> dense(const FeatureActivations& activations, int64_t feature) {
  const SparseRows& rows = activations.rows;
  std::vector<double> column(static_cast<size_t>(rows.rows()));
  size_t row = 0;
  for (size_t i = 0; i < rows.features.size(); ++i) {
    while (static_cast<int64_t>(i) >= rows.row_offsets[row + 1]) ++row;
    if (rows.features[i] == feature) column[row] = rows.values[i];
  }
  return column;
}

double dense_pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double mean_a = 0, mean_b = 0, ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) mean_a += a[i] / n, mean_b += b[i] / n;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

TEST(ReportFeatures, TheVocabularySpellsEveryTokenOfTheText) {
  const Json vocabulary = report().chunk(overview().at("vocabulary").get<int64_t>());
  ASSERT_EQ(std::ssize(vocabulary), study().tokenizer().vocab_size());
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    EXPECT_EQ(vocabulary.at(id).get<std::string>(),
              study().tokenizer().token_text(static_cast<int32_t>(id)));
  }
}

TEST(ReportFeatures, TheIndexHasEveryFeature) {
  for (size_t m = 0; m < 4; ++m) {
    const Json& model = overview().at("models").at(m);
    EXPECT_EQ(model.at("feature_count"), kFeatures);
    const Json index = report().chunk(model.at("index").get<int64_t>());
    for (const char* key : {"density", "max", "documents", "tokens"}) {
      EXPECT_EQ(std::ssize(index.at(key)), kFeatures) << key;
    }
    int64_t listed = 0;
    for (const Json& chunk : model.at("features")) listed += std::ssize(report().chunk(chunk));
    EXPECT_EQ(listed, kFeatures);
    const auto n = static_cast<double>(study().activations(m).rows.rows());
    for (const int64_t j : {int64_t{0}, int64_t{17}, int64_t{255}, int64_t{256}, kFeatures - 1}) {
      const std::vector<double> column = dense(study().activations(m), j);
      double active = 0, maximum = 0;
      for (const double value : column) active += value > 0, maximum = std::max(maximum, value);
      const auto at = static_cast<size_t>(j);
      EXPECT_NEAR(index.at("density").at(at).get<double>(), active / n, 0.005 * active / n);
      EXPECT_NEAR(index.at("max").at(at).get<double>(), maximum, 1e-3 * maximum);
    }
  }
}

TEST(ReportFeatures, ExamplesAreTheStrongestAndShowTheirText) {
  const TokenShard& text = study().text();
  for (const auto& [m, j] : std::vector<std::pair<size_t, int64_t>>{{0, 3}, {1, 270}, {3, 256}}) {
    const FeatureActivations& activations = study().activations(m);
    const std::vector<double> column = dense(activations, j);
    const Json page = feature_page(m, j);
    const double maximum = *std::max_element(column.begin(), column.end());
    ASSERT_EQ(std::ssize(page.at("examples")), study().inputs.budget.examples);

    // The strongest value of each document, strongest first.
    std::map<int32_t, double> best;
    for (size_t row = 0; row < column.size(); ++row) {
      best[activations.documents[row]] = std::max(best[activations.documents[row]], column[row]);
    }
    std::vector<double> expected;
    for (const auto& [document, value] : best) expected.push_back(value);
    std::sort(expected.rbegin(), expected.rend());

    for (size_t e = 0; e < page.at("examples").size(); ++e) {
      const Json& example = page.at("examples").at(e);
      EXPECT_NEAR(example.at(3).get<double>(), expected[e], 1e-3 * maximum);
      const auto document = example.at(1).get<int32_t>();
      EXPECT_EQ(example.at(0).get<int>(), document % 2);  // as the family deals out its corpora
      const auto peak = example.at(2).get<int64_t>();
      const auto ids = example.at(4).get<std::vector<int32_t>>();
      const auto pairs = example.at(5).get<std::vector<int64_t>>();
      std::map<int64_t, int64_t> levels;
      for (size_t i = 0; i < pairs.size(); i += 2) levels[pairs[i]] = pairs[i + 1];
      EXPECT_NEAR(static_cast<double>(levels.at(peak)), 255 * expected[e] / maximum, 0.6);

      // Some place in the document has this text with these activations.
      bool found = false;
      for (size_t row = 0; row < column.size() && !found; ++row) {
        if (activations.documents[row] != document || std::abs(column[row] - expected[e]) > 1e-6) {
          continue;
        }
        const int64_t begin = activations.token_positions[row] - peak;
        found = begin >= 0;
        for (size_t i = 0; i < ids.size() && found; ++i) {
          const int64_t position = begin + static_cast<int64_t>(i);
          found = position < text.size() && text.tokens[static_cast<size_t>(position)] == ids[i];
          const auto& positions = activations.token_positions;
          const auto at = std::lower_bound(positions.begin(), positions.end(), position);
          const bool encoded = at != positions.end() && *at == position;
          const double value = encoded ? column[static_cast<size_t>(at - positions.begin())] : 0;
          const auto level = levels.find(static_cast<int64_t>(i));
          found = found && (value > 0) == (level != levels.end()) &&
                  (value == 0 ||
                   std::abs(static_cast<double>(level->second) - 255 * value / maximum) <= 1.0);
        }
      }
      EXPECT_TRUE(found) << "model " << m << " feature " << j << " example " << e;
    }
  }
}

TEST(ReportFeatures, MatchesAreTheBestPearsonCorrelations) {
  const int64_t j = 192;  // its pattern is in every model
  const std::vector<double> column = dense(study().activations(0), j);
  const Json matches = feature_page(0, j).at("matches");
  ASSERT_EQ(matches.size(), 3U);
  for (const Json& entry : matches) {
    const auto other = entry.at(0).get<size_t>();
    double best = -1;
    int64_t partner = -1;
    for (int64_t k = 0; k < kFeatures - 5; ++k) {
      const double r = dense_pearson(column, dense(study().activations(other), k));
      if (r > best) best = r, partner = k;
    }
    EXPECT_EQ(entry.at(1).at(0).at(0), partner);
    EXPECT_NEAR(entry.at(1).at(0).at(1).get<double>(), best, 1e-3);
  }
}

TEST(ReportFeatures, TokensAreByShareOfActivationWithTheirRatio) {
  const FeatureActivations& activations = study().activations(2);
  const std::vector<double> column = dense(activations, 40);
  std::map<int32_t, double> mass, rows;
  double all = 0;
  for (size_t row = 0; row < column.size(); ++row) {
    const int32_t id = study().text().tokens[static_cast<size_t>(activations.token_positions[row])];
    mass[id] += column[row];
    all += column[row];
    ++rows[id];
  }
  const Json tokens = feature_page(2, 40).at("tokens");
  ASSERT_GT(tokens.size(), 1U);
  double before = 1;
  for (const Json& entry : tokens) {
    const auto id = entry.at(0).get<int32_t>();
    const double share = mass[id] / all;
    EXPECT_NEAR(entry.at(1).get<double>(), share, 1e-3);
    EXPECT_NEAR(entry.at(2).get<double>(),
                std::log2(share * static_cast<double>(column.size()) / rows[id]), 2e-3);
    EXPECT_LE(share, before);
    before = share;
  }
  for (const auto& entry : mass) {
    const int32_t id = entry.first;  // clang 14 captures no structured bindings
    if (entry.second / all > before + 1e-9) {
      EXPECT_TRUE(std::any_of(tokens.begin(), tokens.end(),
                              [&](const Json& shown) { return shown.at(0) == id; }));
    }
  }
}

TEST(ReportFeatures, ClassesOnEdgesAreThoseOfTheFlow) {
  for (const EdgeFlow& edge : study().flow().family) {
    EXPECT_GT(edge.persisting_parents.size(), 10U);  // the family is not trivial
    EXPECT_GT(edge.disappearing.size(), 10U);
    for (const bool parent : {true, false}) {
      std::string expected(static_cast<size_t>(kFeatures), '?');
      const auto mark = [&](const std::vector<int32_t>& features, char letter) {
        for (const int32_t j : features) expected[static_cast<size_t>(j)] = letter;
      };
      mark(parent ? edge.persisting_parents : edge.persisting_children, 'p');
      mark(parent ? edge.disappearing : edge.emerging, parent ? 'd' : 'e');
      mark(parent ? edge.unmeasurable_parents : edge.unmeasurable_children, 'u');
      mark(parent ? edge.silent_parents : edge.silent_children, 'x');
      const Json index = index_of(parent ? edge.parent : edge.child);
      int listed = 0;
      for (const Json& own : index.at("edges")) {
        if (own.at("parent") != edge.parent || own.at("child") != edge.child) continue;
        EXPECT_EQ(own.at("classes"), expected);
        ++listed;
      }
      EXPECT_EQ(listed, 1);
      // Measurable on an edge and in the index is the same thing: both are of all rows.
      const auto measurable = index.at("measurable").get<std::string>();
      for (size_t j = 0; j < measurable.size(); ++j) {
        EXPECT_EQ(measurable[j] == '1', std::string("pde").find(expected[j]) != std::string::npos);
      }
    }
  }
}

TEST(ReportFeatures, AtEachThresholdAsManyFeaturesMatchAsTheFlowCounts) {
  for (const EdgeFlow& edge : study().flow().family) {
    std::vector<ThresholdCounts> counts = edge.thresholds;
    std::ranges::sort(counts, {}, &ThresholdCounts::threshold);
    for (const bool parent : {true, false}) {
      const Json index = index_of(parent ? edge.parent : edge.child);
      for (const Json& own : index.at("edges")) {
        if (own.at("parent") != edge.parent || own.at("child") != edge.child) continue;
        const auto reached = own.at("reached").get<std::string>();
        ASSERT_EQ(std::ssize(reached), kFeatures);
        for (size_t k = 0; k < counts.size(); ++k) {
          EXPECT_EQ(
              std::ranges::count_if(
                  reached, [&](char letter) { return static_cast<size_t>(letter - 'a') > k; }),
              parent ? counts[k].parents : counts[k].children)
              << edge.parent << " → " << edge.child << " at " << counts[k].threshold;
        }
      }
    }
  }
}

TEST(ReportFeatures, TheBestPartnersOfTheIndexAreThoseOfThePages) {
  const Json index = index_of("Lua");
  ASSERT_EQ(index.at("best").size(), 3U);
  for (const int64_t j : {int64_t{0}, int64_t{120}, kFeatures - 1}) {
    const Json matches = feature_page(1, j).at("matches");
    for (const Json& best : index.at("best")) {
      const auto at = static_cast<size_t>(j);
      bool found = false;
      for (const Json& match : matches) {
        if (match.at(0) != best.at(0)) continue;
        EXPECT_EQ(match.at(1).at(0).at(0), best.at(1).at(at));
        EXPECT_NEAR(match.at(1).at(0).at(1).get<double>(), best.at(2).at(at).get<double>(), 5e-3);
        found = true;
      }
      EXPECT_EQ(found, best.at(1).at(at) != -1);
    }
  }
}

TEST(ReportFeatures, PartnersOfMeasurableFeaturesAreMeasurable) {
  Matches matches;
  matches.a.active_tokens = {100, 100, 5};
  matches.a.active_documents = {20, 20, 5};
  matches.b.active_tokens = {5, 100, 100};
  matches.b.active_documents = {5, 20, 20};
  matches.pairs = {{0, 0, 0.9f}, {0, 1, 0.7f}, {0, 2, 0.8f}, {1, 0, 0.95f}, {2, 0, 0.85f}};
  matches.best_of_a = {{0, 0, 0.9f}, {1, 0, 0.95f}, {2, 0, 0.85f}};
  using Partners = std::vector<std::vector<std::pair<int32_t, float>>>;
  EXPECT_EQ(best_partners(matches, true, 3, {}),
            (Partners{{{2, 0.8f}, {1, 0.7f}}, {}, {{0, 0.85f}}}));
  EXPECT_EQ(best_partners(matches, true, 1, {0, 0}),
            (Partners{{{0, 0.9f}}, {{0, 0.95f}}, {{0, 0.85f}}}));
}

TEST(ReportFeatures, PathsAndOriginsAreThoseOfTheFlow) {
  const std::vector<PathFlow>& paths = study().flow().paths;
  for (size_t m = 0; m < 4; ++m) {
    const std::string name = overview().at("models").at(m).at("name");
    const Json index = index_of(name);
    size_t on = 0;
    for (size_t p = 0; p < paths.size(); ++p) {
      for (size_t at = 0; at < paths[p].models.size(); ++at) {
        if (paths[p].models[at] != name) continue;
        const Json& shown = index.at("paths").at(on++);
        EXPECT_EQ(shown.at(0), p);
        const auto features = shown.at(1).get<std::string>();
        EXPECT_EQ(std::count(features.begin(), features.end(), '1'), paths[p].distinct[at]);
        for (const auto& chain : paths[p].listed) {
          EXPECT_EQ(features[static_cast<size_t>(chain.features[at])], '1');
        }
      }
    }
    EXPECT_EQ(index.at("paths").size(), on);
  }
  const MergeFlow& merge = study().flow().merges.at(0);
  const auto origins = index_of("LuaStories").at("origins").get<std::string>();
  const auto count = [&](char letter) {
    return std::count(origins.begin(), origins.end(), letter);
  };
  EXPECT_EQ(count('b'), std::ssize(merge.from_base));
  EXPECT_EQ(count('f'), std::ssize(merge.emerged_in_fine_tuning));
  EXPECT_EQ(count('m'), std::ssize(merge.emerged_at_merge));
  EXPECT_EQ(index_of("Lua").at("origins"), "");
}

TEST(ReportFeatures, CoactiveFeaturesShareTheirTokens) {
  const std::vector<double> column = dense(study().activations(1), 12);
  const Json shown = feature_page(1, 12).at("coactive");
  ASSERT_EQ(std::ssize(shown), study().inputs.budget.coactive);
  std::vector<double> shares;
  for (int64_t k = 0; k < kFeatures; ++k) {
    if (k == 12) continue;
    const std::vector<double> other = dense(study().activations(1), k);
    int64_t both = 0, either = 0;
    for (size_t row = 0; row < column.size(); ++row) {
      both += column[row] > 0 && other[row] > 0;
      either += column[row] > 0 || other[row] > 0;
    }
    shares.push_back(static_cast<double>(both) / static_cast<double>(either));
    for (const Json& entry : shown) {
      if (entry.at(0) == k) {
        EXPECT_EQ(entry.at(1), both);
      }
    }
  }
  std::sort(shares.rbegin(), shares.rend());
  for (size_t i = 0; i < shown.size(); ++i) {
    EXPECT_NEAR(shown.at(i).at(2).get<double>(), shares[i], 0.01);
  }
}

TEST(ReportFeatures, IntervalsHaveWeakerAndWeakerExamples) {
  const Json page = feature_page(0, 3);
  ASSERT_EQ(page.at("intervals").size(), 5U);
  double before = 1e9;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(page.at("intervals").at(i).at(0), i);
    const auto value = page.at("intervals").at(i).at(1).at(3).get<double>();
    EXPECT_LE(value, before);
    before = value;
  }
}

TEST(ReportFeatures, SilentFeaturesHaveAPageOfNothing) {
  const Json page = feature_page(1, kFeatures - 1);
  EXPECT_EQ(page.at("active"), 0);
  for (const char* key :
       {"histogram", "corpora", "tokens", "examples", "matches", "intervals", "coactive"}) {
    EXPECT_TRUE(page.at(key).empty()) << key;
  }
}

}  // namespace
}  // namespace featflow
