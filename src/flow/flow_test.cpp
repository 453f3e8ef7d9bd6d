#include "flow/flow.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "features/dense_activations.hpp"
#include "matching/correlation.hpp"
#include "matching/null.hpp"
#include "matching/one_to_one.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kRows = 3000;

/// Concepts are sparse noise-free patterns over the same rows; a model is the list of concepts
/// that its features stand for. Concept −1 never fires, −2 fires on five tokens.
FeatureActivations model_of(const std::string& name, const std::vector<int>& concepts) {
  DenseRows dense(kRows, std::vector<float>(concepts.size(), 0));
  for (size_t j = 0; j < concepts.size(); ++j) {
    if (concepts[j] == -1) continue;
    Rng rng(1000 + concepts[j]);
    const auto scale = static_cast<float>(1 + name.size() % 3);  // r does not see it
    for (int64_t row = 0; row < kRows; ++row) {
      const double strength = rng.uniform() + 0.1;
      const bool active = concepts[j] == -2 ? row % 600 == 0 : rng.uniform() < 0.05;
      if (active) dense[row][j] = static_cast<float>(strength) * scale;
    }
  }
  FeatureActivations activations =
      activations_from_dense(dense, static_cast<int64_t>(concepts.size()));
  activations.model = name;
  add_documents(activations, 10, {"python", "lua", "stories"});
  return activations;
}

struct PlantedFamily {
  Family family{{{"base", {}, false},
                 {"lua", {"base"}, false},
                 {"stories", {"base"}, false},
                 {"merged", {"lua", "stories"}, true}}};
  std::vector<FeatureActivations> activations;
  std::map<std::pair<std::string, std::string>, Matches> matches;

  PlantedFamily() {
    activations.push_back(model_of("base", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -2, -1}));
    // Features 5 and 6 stand for the same concept.
    activations.push_back(model_of("lua", {20, 4, 3, 21, 0, 2, 2, 1, 22, -2}));
    activations.push_back(model_of("stories", {6, 30, 5, 3, 4, 31}));
    activations.push_back(model_of("merged", {40, 31, 30, 9, 5, 3, 1, 0, 20}));
    match({});
  }

  void match(const std::vector<std::string>& corpora) {
    CorrelationOptions options;
    options.corpora = corpora;
    for (const auto& [a, b] : family.ancestries()) {
      matches[{family.name(a), family.name(b)}] =
          correlate(activations[a], activations[b], options);
    }
  }

  MatchesByModels by_models() const {
    MatchesByModels result;
    for (const auto& [models, pair] : matches) result[models] = &pair;
    return result;
  }
};

TEST(Flow, SaysExactlyWhatWasPlanted) {
  const PlantedFamily planted;
  const Flow flow = compute_flow(planted.family, planted.by_models());

  ASSERT_EQ(flow.family.size(), 4u);
  const EdgeFlow& lua = flow.family[0];
  EXPECT_EQ(lua.parent, "base");
  EXPECT_EQ(lua.child, "lua");
  EXPECT_EQ(lua.rows, kRows);
  EXPECT_THAT(lua.persisting_parents, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(lua.disappearing, ElementsAre(5, 6, 7, 8, 9));
  EXPECT_THAT(lua.unmeasurable_parents, ElementsAre(10));
  EXPECT_THAT(lua.silent_parents, ElementsAre(11));
  EXPECT_THAT(lua.persisting_children, ElementsAre(1, 2, 4, 5, 6, 7));
  EXPECT_THAT(lua.emerging, ElementsAre(0, 3, 8));
  EXPECT_THAT(lua.unmeasurable_children, ElementsAre(9));
  EXPECT_THAT(lua.silent_children, IsEmpty());
  EXPECT_EQ(lua.parent_counts.measurable, 10);
  EXPECT_EQ(lua.links.size(), 6u);
  EXPECT_EQ(lua.one_to_one.size(), 5u);
  ASSERT_EQ(lua.thresholds.size(), 14u);
  for (const ThresholdCounts& counts : lua.thresholds) {
    EXPECT_EQ(counts.parents, 5);
    EXPECT_EQ(counts.children, 6);
    EXPECT_EQ(counts.one_to_one, 5);
    EXPECT_EQ(counts.all_parents, 6) << "the paper would count the feature of five tokens";
    EXPECT_EQ(counts.all_children, 7);
  }
  EXPECT_THAT(flow.family[3].persisting_children, ElementsAre(1, 2, 4, 5));  // stories → merged

  ASSERT_EQ(flow.roots.size(), 1u);
  EXPECT_THAT(flow.roots[0].persisting, ElementsAre(5, 4));
  EXPECT_EQ(flow.roots[0].into_any, 7);
  EXPECT_EQ(flow.roots[0].into_all, 2);
  EXPECT_THAT(flow.roots[0].features, ElementsAre(0, 1, 2, 3, 4, 5, 6));

  ASSERT_EQ(flow.merges.size(), 1u);
  const MergeFlow& merged = flow.merges[0];
  EXPECT_EQ(merged.traced(), 7);
  EXPECT_THAT(merged.from_base, ElementsAre(4, 5, 6, 7));            // 5, 3, 1, 0
  EXPECT_THAT(merged.emerged_in_fine_tuning, ElementsAre(1, 2, 8));  // 31, 30, 20
  EXPECT_THAT(merged.emerged_at_merge, ElementsAre(0, 3));           // 40, and 9 of the base
  EXPECT_EQ(merged.parents[0].traced, 4);                            // lua: 0, 1, 3, 20
  EXPECT_EQ(merged.parents[0].from_base, 3);
  EXPECT_EQ(merged.parents[0].emerged_in_fine_tuning, 1);
  EXPECT_EQ(merged.parents[1].traced, 4);  // stories: 3, 5, 30, 31
  EXPECT_EQ(merged.parents[1].from_base, 2);

  ASSERT_EQ(flow.paths.size(), 2u);
  const PathFlow& path = flow.paths[0];
  EXPECT_THAT(path.models, ElementsAre("base", "lua", "merged"));
  EXPECT_EQ(path.chains, 3);
  EXPECT_EQ(path.direct, 3);
  EXPECT_EQ(path.every_pair, 3);
  EXPECT_THAT(path.distinct, ElementsAre(3, 3, 3));
  ASSERT_EQ(path.listed.size(), 3u);
  EXPECT_THAT(path.listed[0].features, ElementsAre(0, 4, 7));
  EXPECT_THAT(path.listed[2].features, ElementsAre(3, 2, 5));
  EXPECT_NEAR(*path.listed[0].direct, 1, 1e-6);
  EXPECT_TRUE(path.listed[0].every_pair);
  EXPECT_EQ(flow.paths[1].chains, 2);
}

TEST(Flow, OfIdenticalModelsPersistsWhole) {
  const FeatureActivations base = model_of("base", {0, 1, 2, 3, 4});
  FeatureActivations child = base;
  child.model = "child";
  const Matches matches = correlate(base, child);
  const Flow flow = compute_flow(Family({{"base", {}, false}, {"child", {"base"}, false}}),
                                 {{{"base", "child"}, &matches}});
  EXPECT_THAT(flow.family[0].persisting_parents, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(flow.family[0].emerging, IsEmpty());
  EXPECT_EQ(flow.family[0].one_to_one.size(), 5u);
  EXPECT_EQ(flow.paths[0].every_pair, 5);
}

TEST(Flow, OfPermutedRowsIsNothing) {
  const FeatureActivations base = model_of("base", {0, 1, 2, 3, 4});
  FeatureActivations child = base;
  child.model = "child";
  Rng rng(3);
  const std::vector<int32_t> order = shuffle_within(rows_by_corpus(base), rng);
  SparseRows permuted{base.rows.feature_count, {0}, {}, {}};
  for (const int32_t row : order) {
    for (int64_t e = base.rows.row_offsets[row]; e < base.rows.row_offsets[row + 1]; ++e) {
      permuted.features.push_back(base.rows.features[e]);
      permuted.values.push_back(base.rows.values[e]);
    }
    permuted.row_offsets.push_back(permuted.active());
  }
  child.rows = permuted;
  const EdgeFlow edge = edge_flow(correlate(base, child));
  EXPECT_THAT(edge.persisting_parents, IsEmpty());
  EXPECT_THAT(edge.emerging, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(edge.thresholds.front().parents, 0) << "not even at 0.3";
}

TEST(Flow, KeepsTheIntersectionBesideTheFamily) {
  PlantedFamily planted, intersection;
  intersection.match({"python", "lua"});
  MatchesByModels some = intersection.by_models();
  std::erase_if(some, [](const auto& entry) { return entry.first.first != "base"; });
  const Flow flow = compute_flow(planted.family, planted.by_models(), some);
  EXPECT_EQ(flow.family.size(), 4u);
  ASSERT_EQ(flow.intersection.size(), 2u);
  EXPECT_EQ(flow.intersection[0].rows, 2000);
  EXPECT_THAT(flow.intersection[0].corpora, ElementsAre("python", "lua"));
  EXPECT_THAT(flow.intersection[0].persisting_parents, ElementsAre(0, 1, 2, 3, 4));
}

/// Matches between models whose features are all measurable, from a list of pairs.
Matches matches_of(const std::string& a, const std::string& b, int64_t m,
                   std::vector<FeaturePair> pairs) {
  Matches matches;
  matches.a = {a, std::vector<int64_t>(m, 100), std::vector<int64_t>(m, 50)};
  matches.b = {b, std::vector<int64_t>(m, 100), std::vector<int64_t>(m, 50)};
  matches.corpus = "text";
  matches.row_count = 1000;
  matches.pairs = std::move(pairs);
  return matches;
}

TEST(Flow, ChainsOfRandomLinksAgreeWithEnumeration) {
  const int64_t m = 7;
  const Family family(
      {{"a", {}, false}, {"b", {"a"}, false}, {"c", {"b"}, false}, {"d", {"c"}, false}});
  Rng rng(17);
  for (int trial = 0; trial < 20; ++trial) {
    std::map<std::pair<std::string, std::string>, Matches> matches;
    std::map<std::pair<int, int>, std::vector<std::vector<float>>> r;  // 0: below the floor
    MatchesByModels by_models;
    for (const auto& [x, y] : family.ancestries()) {
      std::vector<FeaturePair> pairs;
      r[{x, y}].assign(m, std::vector<float>(m, 0));
      for (int32_t i = 0; i < m; ++i) {
        for (int32_t j = 0; j < m; ++j) {
          if (rng.uniform() > 0.5) continue;
          const auto value = static_cast<float>(0.3 + 0.7 * rng.uniform());
          r[{x, y}][i][j] = value;
          pairs.push_back({i, j, value});
        }
      }
      const std::pair key(family.name(x), family.name(y));
      matches[key] = matches_of(key.first, key.second, m, pairs);
      by_models[key] = &matches[key];
    }
    FlowOptions options;
    options.threshold = 0.5;
    options.max_listed_chains = 100'000;
    options.correlate = [](const std::string& a, const std::string& d,
                           const std::vector<FeaturePair>& pairs) {
      EXPECT_EQ(a + d, "ad");
      return std::vector<double>(pairs.size(), 0.125);
    };
    const PathFlow path = compute_flow(family, by_models, {}, options).paths.at(0);

    int64_t chains = 0, direct = 0, every_pair = 0;
    std::vector<Chain> expected;
    const auto linked = [&](int x, int y, int i, int j) { return r[{x, y}][i][j] >= 0.5; };
    std::vector<std::vector<uint8_t>> seen(4, std::vector<uint8_t>(m, 0));
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < m; ++j) {
        for (int k = 0; k < m; ++k) {
          for (int l = 0; l < m; ++l) {
            if (!linked(0, 1, i, j) || !linked(1, 2, j, k) || !linked(2, 3, k, l)) continue;
            const bool every = linked(0, 2, i, k) && linked(1, 3, j, l) && linked(0, 3, i, l);
            ++chains;
            direct += linked(0, 3, i, l);
            every_pair += every;
            seen[0][i] = seen[1][j] = seen[2][k] = seen[3][l] = 1;
            const float ends = r[{0, 3}][i][l];
            expected.push_back({{i, j, k, l},
                                std::min({r[{0, 1}][i][j], r[{1, 2}][j][k], r[{2, 3}][k][l]}),
                                ends > 0 ? ends : 0.125f,
                                every});
          }
        }
      }
    }
    EXPECT_EQ(path.chains, chains);
    EXPECT_EQ(path.direct, direct);
    EXPECT_EQ(path.every_pair, every_pair);
    for (int x = 0; x < 4; ++x) {
      EXPECT_EQ(path.distinct[x], std::count(seen[x].begin(), seen[x].end(), 1));
    }
    ASSERT_EQ(path.listed.size(), expected.size());
    for (size_t c = 0; c < expected.size(); ++c) {
      EXPECT_EQ(path.listed[c].features, expected[c].features);
      EXPECT_EQ(path.listed[c].weakest_link, expected[c].weakest_link);
      EXPECT_EQ(path.listed[c].direct, expected[c].direct);
      EXPECT_EQ(path.listed[c].every_pair, expected[c].every_pair);
    }
    options.max_listed_chains = 3;
    const PathFlow cut = compute_flow(family, by_models, {}, options).paths.at(0);
    EXPECT_EQ(cut.listed.size(), 3u);
    EXPECT_EQ(cut.chains, chains);
  }
}

TEST(Flow, ThresholdsCountEachRule) {
  const Matches matches =
      matches_of("a", "b", 3, {{0, 0, 0.9f}, {0, 1, 0.72f}, {1, 0, 0.86f}, {2, 0, 0.41f}});
  FlowOptions options;
  options.threshold = 0.7;
  const EdgeFlow edge = edge_flow(matches, options);
  EXPECT_EQ(edge.at(0.4).parents, 3);
  EXPECT_EQ(edge.at(0.7).parents, 2);
  EXPECT_EQ(edge.at(0.7).children, 2);
  EXPECT_EQ(edge.at(0.7).one_to_one, 2);  // 0–1 and 1–0 outweigh 0–0
  EXPECT_EQ(edge.at(0.75).one_to_one, 1);
  EXPECT_EQ(edge.at(0.9).parents, 0) << "0.9 as float32 is below 0.9";
  EXPECT_THAT(edge.one_to_one, ElementsAre(FeaturePair{0, 1, 0.72f}, FeaturePair{1, 0, 0.86f}));
  options.threshold = 0.62;
  EXPECT_EQ(edge_flow(matches, options).thresholds.size(), 15u);
}

TEST(Flow, RefusesMatchesThatDoNotBelongTogether) {
  const PlantedFamily planted;
  MatchesByModels missing = planted.by_models();
  missing.erase({"base", "merged"});
  EXPECT_THROW(compute_flow(planted.family, missing), Error);

  const auto with = [&](auto&& change) {
    Matches changed = planted.matches.at({"stories", "merged"});
    change(changed);
    MatchesByModels matches = planted.by_models();
    matches[{"stories", "merged"}] = &changed;
    EXPECT_THROW(compute_flow(planted.family, matches), Error);
  };
  with([](Matches& matches) { matches.corpus = "other"; });
  with([](Matches& matches) { matches.a.active_tokens[0] += 1; });
  with([](Matches& matches) { matches.floor = 0.85; });
  with([](Matches& matches) { std::swap(matches.a, matches.b); });
}

TEST(Flow, IsWrittenAsJsonAndCsv) {
  const PlantedFamily planted;
  const Flow flow = compute_flow(planted.family, planted.by_models());
  const TemporaryFolder folder;
  save_flow(flow, folder.path());
  const auto json = nlohmann::json::parse(read_file(folder.path() / "flow.json"));
  EXPECT_EQ(json["models"][0]["measurable"], 10);
  const auto& edge = json["family"][0];
  EXPECT_EQ(edge["child"], "lua");
  EXPECT_EQ(edge["thresholds"][10]["exists"]["persisting_parents"], 5);
  EXPECT_DOUBLE_EQ(edge["thresholds"][10]["exists"]["parent_share"], 0.5);
  EXPECT_DOUBLE_EQ(edge["thresholds"][10]["exists"]["parent_share_of_all"], 5.0 / 12);
  EXPECT_DOUBLE_EQ(edge["thresholds"][10]["one_to_one"]["child_share"], 5.0 / 9);
  EXPECT_DOUBLE_EQ(edge["thresholds"][10]["exists_all"]["parent_share"], 6.0 / 12);
  EXPECT_EQ(edge["parent_features"]["silent"], std::vector<int>{11});
  EXPECT_EQ(json["merges"][0]["traced"], 7);
  EXPECT_EQ(json["paths"][0]["listed"][0]["features"], (std::vector<int>{0, 4, 7}));
  const std::string csv = read_file(folder.path() / "flow.csv");
  EXPECT_NE(csv.find("\nfamily,base,lua,exists,0.8,5,6,5,3,0.5,"), std::string::npos);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 4 * 14 * 3);
}

TEST(Flow, OfALoneModelIsEmpty) {
  const Flow flow = compute_flow(Family({{"alone", {}, false}}), {});
  EXPECT_TRUE(flow.family.empty() && flow.paths.empty() && flow.roots.empty());
  EXPECT_EQ(flow.models.size(), 1u);
  EXPECT_NO_THROW(flow_json(flow));
}

}  // namespace
}  // namespace featflow
