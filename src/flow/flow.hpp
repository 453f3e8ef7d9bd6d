#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flow/family.hpp"
#include "matching/cross_fit.hpp"
#include "matching/matches.hpp"
#include "matching/significance.hpp"

namespace featflow {

/// Matches by (ancestor, descendant), the ancestor being side A. Borrowed.
using MatchesByModels = std::map<std::pair<std::string, std::string>, const Matches*>;

/// Exact correlations of pairs (feature of the ancestor, feature of the descendant) that are below
/// the floor of the matches.
using CorrelateChains = std::function<std::vector<double>(
    const std::string& ancestor, const std::string& descendant, std::vector<FeaturePair> pairs)>;

struct FlowOptions {
  double threshold = 0.8;  ///< τ
  MeasurableLimits limits;
  /// Chains listed per path, those with the strongest weakest link; counts are always of all.
  int64_t max_listed_chains = 20'000;
  /// Optional: without it the direct correlation of a chain is unknown where it is below the floor.
  CorrelateChains correlate;
};

/// Features of one side of an edge, by activity on the rows of the match (definitions 9).
struct SideCounts {
  int64_t features = 0;      ///< m
  int64_t silent = 0;        ///< Never active on these rows: dead here.
  int64_t unmeasurable = 0;  ///< Active, but on too few tokens or documents.
  int64_t measurable = 0;
};

/// Definitions 11 at one threshold.
struct ThresholdCounts {
  double threshold = 0;
  int64_t parents = 0;      ///< Measurable parent features with a match ("exists").
  int64_t children = 0;     ///< Measurable child features with a match.
  int64_t one_to_one = 0;   ///< Pairs of the maximum-weight matching.
  int64_t all_parents = 0;  ///< The paper literally: among all m, measurable or not.
  int64_t all_children = 0;
};

struct EdgeVerdict;  // flow/verdict.hpp

/// What happens along one edge from parent to child. Lists hold feature numbers, ascending, at τ.
struct EdgeFlow {
  std::string parent, child;
  std::vector<std::string> corpora;  ///< Whose rows were counted; empty: all.
  int64_t rows = 0;
  SideCounts parent_counts, child_counts;
  std::vector<ThresholdCounts> thresholds;  ///< 0.30, 0.35 … 0.95 and τ, not below the floor.
  std::vector<int32_t> persisting_parents, disappearing, unmeasurable_parents, silent_parents;
  std::vector<int32_t> persisting_children, emerging, unmeasurable_children, silent_children;
  std::vector<FeaturePair> links;       ///< Measurable pairs at τ, by parent, then child.
  std::vector<FeaturePair> one_to_one;  ///< The matching at τ, by parent.
  // Set by who has the activations:
  std::optional<CrossFit> cross_fit;           ///< a: parent, b: child.
  std::vector<Significance> nulls;             ///< Definitions 16, likewise; empty: not asked for.
  std::shared_ptr<const EdgeVerdict> verdict;  ///< Definitions 14 and 15; null: not asked for.

  const ThresholdCounts& at(double threshold) const;
};

/// Where the features of a root go: "into either fine-tune" (definitions 12).
struct RootFlow {
  std::string root;
  std::vector<std::string> fine_tunes;  ///< Its children that are not merges.
  std::vector<int64_t> persisting;      ///< Distinct root features into each of them.
  int64_t into_any = 0;                 ///< Distinct root features over the union.
  int64_t into_all = 0;
  std::vector<int32_t> features;  ///< Those into any, ascending.
};

/// Where the features of a merged model come from (definitions 12). Distinct merged features.
struct MergeFlow {
  struct Parent {
    std::string parent;
    int64_t traced = 0;                  ///< Match some feature of this parent.
    int64_t from_base = 0;               ///< … one that itself goes back to a root, link by link.
    int64_t emerged_in_fine_tuning = 0;  ///< … none that does.
  };
  std::string model;
  int64_t measurable = 0;
  std::vector<Parent> parents;
  /// Over the union of the parents: a feature is from the base if by any parent.
  std::vector<int32_t> from_base, emerged_in_fine_tuning, emerged_at_merge;
  int64_t traced() const { return std::ssize(from_base) + std::ssize(emerged_in_fine_tuning); }
};

/// One feature of each model along a path, each link ≥ τ.
struct Chain {
  std::vector<int32_t> features;  ///< [models of the path]
  float weakest_link = 0;
  std::optional<float> direct;  ///< Correlation of first and last; unknown: below the floor.
  bool every_pair = false;      ///< All pairs of the chain ≥ τ, not only neighbours.
};

/// Chains from a root to a model without children. Two links at 0.8 guarantee only r ≥ 0.28 from
/// end to end, so the direct correlation stands beside each.
struct PathFlow {
  std::vector<std::string> models;
  std::vector<int64_t> distinct;  ///< [models] distinct features that lie on a chain
  int64_t chains = 0;
  int64_t direct = 0;         ///< Chains whose ends correlate ≥ τ.
  int64_t every_pair = 0;     ///< Chains whose every pair correlates ≥ τ.
  std::vector<Chain> listed;  ///< The strongest max_listed_chains, in order of their features.
};

struct ModelFlow {
  std::string name;
  std::vector<std::string> parents;
  bool merged = false;
  SideCounts counts;  ///< On all rows.
};

/// Everything behind the paper's Figure 2.
struct Flow {
  double threshold = 0.8;
  MeasurableLimits limits;
  double floor = 0;  ///< The highest floor of the matches.
  std::vector<ModelFlow> models;
  std::vector<EdgeFlow> family;        ///< Edges on all rows.
  std::vector<EdgeFlow> intersection;  ///< Edges on the corpora both ends have seen; may be empty.
  std::vector<EdgeFlow> controls;      ///< From a member of the family to a control beside it.
  std::vector<RootFlow> roots;
  std::vector<MergeFlow> merges;
  std::vector<PathFlow> paths;
};

/// `family` holds the matches of every ancestry on all rows; `intersection` those of edges (any
/// that are missing have no row there). Throws Error naming the pair whose matches are missing,
/// made on other activations than the rest, or kept with a floor above τ.
Flow compute_flow(const Family& family, const MatchesByModels& family_matches,
                  const MatchesByModels& intersection_matches = {},
                  const FlowOptions& options = {});

/// One edge by itself.
EdgeFlow edge_flow(const Matches& matches, const FlowOptions& options = {});

/// flow.json and flow.csv: docs/formats.md.
std::string flow_json(const Flow& flow);
std::string flow_csv(const Flow& flow);
void save_flow(const Flow& flow, const std::filesystem::path& folder);

}  // namespace featflow
