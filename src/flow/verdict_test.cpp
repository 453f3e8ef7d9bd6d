#include "flow/verdict.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "features/dense_activations.hpp"
#include "matching/correlation.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kRows = 3000;

/// Concepts are sparse noise-free patterns over the same rows; a model is the list of concepts that
/// its features stand for. Concept −1 never fires, −2 fires on five tokens.
FeatureActivations model_of(const std::string& name, const std::vector<int>& concepts) {
  DenseRows dense(kRows, std::vector<float>(concepts.size(), 0));
  for (size_t j = 0; j < concepts.size(); ++j) {
    Rng rng(1000 + static_cast<uint64_t>(concepts[j]));
    for (int64_t row = 0; row < kRows && concepts[j] != -1; ++row) {
      const double strength = rng.uniform() + 0.1;
      const bool active = concepts[j] == -2 ? row % 600 == 0 : rng.uniform() < 0.05;
      if (active) dense[row][j] = static_cast<float>(strength);
    }
  }
  FeatureActivations activations =
      activations_from_dense(dense, static_cast<int64_t>(concepts.size()));
  activations.model = name;
  add_documents(activations, 10, {"lua", "stories"});
  return activations;
}

struct PlantedEdge {
  FeatureActivations parent = model_of("P", {0, 1, 2, 3, 4, 5, -2, -1});
  FeatureActivations child = model_of("C", {0, 5, 10, 11, 12, 13, 14, -2});
  FeatureActivations parent2 = model_of("P2", {1, 2, 5, 12, 13, 20});
  FeatureActivations child2 = model_of("C2", {2, 4, 10, 12, 14, 5});
  FeatureActivations same_mixture = model_of("P3", {0, 1, 3});
  std::vector<Matches> matches = {correlate(parent, child),  correlate(parent, parent2),
                                  correlate(parent, child2), correlate(child, child2),
                                  correlate(parent2, child), correlate(parent, same_mixture)};

  VerdictMatches pointers() const {
    return {&matches[0], &matches[1], &matches[2], &matches[3], &matches[4], &matches[5]};
  }
};

TEST(Verdict, SaysExactlyWhatWasPlanted) {
  const PlantedEdge edge;
  const EdgeVerdict verdict = edge_verdict(edge.pointers());
  EXPECT_EQ(verdict.parent, "P");
  EXPECT_EQ(verdict.child, "C");
  EXPECT_EQ(verdict.rows, kRows);
  const SideVerdict &parent = verdict.of_parent, &child = verdict.of_child;
  EXPECT_THAT(parent.persists, ElementsAre(0, 5));
  EXPECT_THAT(parent.absent, ElementsAre(1));
  EXPECT_THAT(parent.seed_dependent, ElementsAre(2));
  EXPECT_THAT(parent.unresolved, ElementsAre(3, 4)) << "4 is in C′, but was not found again";
  EXPECT_THAT(parent.unmeasurable, ElementsAre(6));
  EXPECT_THAT(parent.silent, ElementsAre(7));
  EXPECT_EQ(parent.counts.measurable, 6);
  EXPECT_THAT(child.persists, ElementsAre(0, 1));
  EXPECT_THAT(child.absent, ElementsAre(2, 6));
  EXPECT_THAT(child.seed_dependent, ElementsAre(4));
  EXPECT_THAT(child.unresolved, ElementsAre(3, 5));
  EXPECT_THAT(child.unmeasurable, ElementsAre(7));
  EXPECT_THAT(child.silent, IsEmpty());

  ASSERT_EQ(parent.thresholds.size(), 14u);
  for (const VerdictCounts& counts : parent.thresholds) {  // noise-free: the same everywhere
    EXPECT_EQ(counts.matched, 2);
    EXPECT_EQ(counts.found_again, 3);
    EXPECT_EQ(counts.both, 1);
    EXPECT_EQ(counts.same_mixture, 3);
    EXPECT_EQ(counts.both_same_mixture, 1);  // of {1, 2, 5} found again, 1 is in P″
  }
  EXPECT_EQ(child.at(0.8).found_again, 4);
  EXPECT_EQ(child.at(0.8).both, 1);
  EXPECT_EQ(child.at(0.8).same_mixture, std::nullopt);
  EXPECT_EQ(summary_line(parent, 0.8),
            "share 33.3% (2 of 6) · ceiling 50.0% (3) · conditional 33.3% (1 of 3; a third "
            "autoencoder of the unchanged model 33.3%)");
}

/// Dense float64 correlations and the wording of definitions 15, one feature at a time.
struct Reference {
  std::vector<int32_t> persists, absent, seed_dependent, unresolved;
  int64_t found_again = 0, both = 0;

  Reference(const DenseRows& own, const DenseRows& other, const DenseRows& own_again,
            const DenseRows& other_again, double threshold) {
    for (size_t j = 0; j < own[0].size(); ++j) {
      const auto match_in = [&](const DenseRows& rows) {
        for (size_t k = 0; k < rows[0].size(); ++k) {
          const auto r = dense_pearson(own, j, rows, k);
          if (r && *r >= threshold) return true;
        }
        return false;
      };
      const auto feature = static_cast<int32_t>(j);
      const bool in_other = match_in(other), in_again = match_in(own_again);
      found_again += in_again;
      both += in_again && in_other;
      if (in_other) persists.push_back(feature);
      if (!in_other && in_again && !match_in(other_again)) absent.push_back(feature);
      if (!in_other && in_again && match_in(other_again)) seed_dependent.push_back(feature);
      if (!in_other && !in_again) unresolved.push_back(feature);
    }
  }
};

TEST(Verdict, AgreesWithADenseReferenceAtEveryThreshold) {
  constexpr int64_t kFeatures = 30, kN = 600;
  // Each model keeps each activation of a common text with a chance of its own.
  const DenseRows text = random_dense(kN, kFeatures, 0.15, 3);
  std::vector<DenseRows> dense;
  std::vector<FeatureActivations> sparse;
  for (uint64_t model = 0; model < 4; ++model) {
    Rng rng(model, "noise");
    std::vector<double> keep(kFeatures);
    for (double& share : keep) share = 0.2 + 0.8 * rng.uniform();
    DenseRows rows = text;
    for (auto& row : rows) {
      for (size_t j = 0; j < row.size(); ++j) row[j] = rng.uniform() < keep[j] ? row[j] : 0;
    }
    sparse.push_back(activations_from_dense(rows, kFeatures));
    dense.push_back(std::move(rows));
  }
  const auto &p = dense[0], &c = dense[1], &p2 = dense[2], &c2 = dense[3];
  const Matches edge = correlate(sparse[0], sparse[1]), pp = correlate(sparse[0], sparse[2]),
                pc2 = correlate(sparse[0], sparse[3]), cc2 = correlate(sparse[1], sparse[3]),
                p2c = correlate(sparse[2], sparse[1]);
  std::set<std::string> seen;
  for (const double threshold : {0.4, 0.6, 0.73, 0.8}) {
    const EdgeVerdict verdict = edge_verdict({&edge, &pp, &pc2, &cc2, &p2c}, {threshold, {5, 1}});
    for (const auto& [side, reference] :
         {std::pair(&verdict.of_parent, Reference(p, c, p2, c2, threshold)),
          std::pair(&verdict.of_child, Reference(c, p, c2, p2, threshold))}) {
      EXPECT_EQ(side->persists, reference.persists) << threshold;
      EXPECT_EQ(side->absent, reference.absent) << threshold;
      EXPECT_EQ(side->seed_dependent, reference.seed_dependent) << threshold;
      EXPECT_EQ(side->unresolved, reference.unresolved) << threshold;
      EXPECT_EQ(side->at(threshold).found_again, reference.found_again);
      EXPECT_EQ(side->at(threshold).both, reference.both);
      if (!side->persists.empty()) seen.insert("persists");
      if (!side->absent.empty()) seen.insert("absent");
      if (!side->seed_dependent.empty()) seen.insert("seed_dependent");
      if (!side->unresolved.empty()) seen.insert("unresolved");
    }
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(Verdict, GoesThroughJson) {
  const PlantedEdge edge;
  EdgeVerdict verdict = edge_verdict(edge.pointers(), {0.77, {40, 12}});
  verdict.of_parent.ceiling_fit = CrossFit{{6, 2.5, 2, 3}, {5, 3, 2, 4}, 50, 1000};
  verdict.of_child.conditional_fit = ConditionalFit{2.5, 1.5, 0.4, 0.7, 50, 1000};
  const std::string json = to_json(verdict).dump();
  const EdgeVerdict again = parse_edge_verdict(nlohmann::json::parse(json));
  EXPECT_EQ(to_json(again).dump(), json);
  EXPECT_EQ(again.of_parent.absent, verdict.of_parent.absent);
  EXPECT_EQ(again.of_child.absent, verdict.of_child.absent);
  EXPECT_EQ(again.of_parent.thresholds.size(), 15u) << "0.77 stands among the standard ones";
  EXPECT_EQ(again.of_child.conditional_fit->low, 0.4);
  EXPECT_FALSE(again.of_child.ceiling_fit.has_value());
  const nlohmann::json parsed = nlohmann::json::parse(json);
  EXPECT_TRUE(parsed.at("parent_features").contains("disappeared"));
  EXPECT_TRUE(parsed.at("child_features").contains("emerged"));
  EXPECT_THROW(parse_edge_verdict(nlohmann::json::object()), nlohmann::json::exception);
}

TEST(Verdict, OfNothingHasNoShares) {
  const FeatureActivations silent = model_of("silent", {-1, -1});
  const Matches nothing = correlate(silent, silent);
  const EdgeVerdict verdict =
      edge_verdict({&nothing, &nothing, &nothing, &nothing, &nothing, &nothing});
  EXPECT_THAT(verdict.of_parent.silent, ElementsAre(0, 1));
  EXPECT_EQ(summary_line(verdict.of_parent, 0.8),
            "share – (0 of 0) · ceiling – (0) · conditional – (0 of 0; a third autoencoder of the "
            "unchanged model –)");
  EXPECT_TRUE(to_json(verdict)["parent_features"]["thresholds"][0]["share"].is_null());
}

TEST(Verdict, RefusesMatchesThatDoNotBelongTogether) {
  PlantedEdge edge;
  const auto error_of = [&](const VerdictOptions& options = {}) -> std::string {
    try {
      edge_verdict(edge.pointers(), options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(error_of(), "no error");
  EXPECT_THAT(error_of({0.2, {}}), HasSubstr("threshold 0.2 asked for"));
  std::swap(edge.matches[2], edge.matches[3]);
  EXPECT_THAT(error_of(), HasSubstr("matches name 'C' where 'P' is expected"));
  std::swap(edge.matches[2], edge.matches[3]);
  CorrelationOptions lua;
  lua.corpora = {"lua"};
  edge.matches[4] = correlate(edge.parent2, edge.child, lua);
  EXPECT_THAT(error_of(), HasSubstr("matches of 'P2' and 'C' count 1500 rows"));
}

}  // namespace
}  // namespace featflow
