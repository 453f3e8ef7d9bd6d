#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "features/statistics.hpp"
#include "report/feature_payload.hpp"
#include "report/report.hpp"

namespace featflow {

/// flow.json (flow/flow.hpp) as the report shows it.
class FlowPayload {
 public:
  /// Throws Error naming the file if it is malformed.
  explicit FlowPayload(const std::filesystem::path& file);

  MeasurableLimits limits() const;
  /// For the overview: {threshold, floor, rows, min_tokens, min_documents,
  ///   family and intersection [{parent, child, corpora, rows, measurable_parent,
  ///     persisting_parent, disappearing, measurable_child, persisting_child, emerging, one_to_one,
  ///     permuted | null, cross_fit | null, rare_parent, rare_child [silent, unmeasurable],
  ///     thresholds [{threshold, own, persisting_parent, persisting_child, one_to_one, all_parent,
  ///     all_child}],
  ///     nulls [matching/significance.hpp],
  ///     verdict {parent, child: {measurable, persists, absent, seed_dependent, unresolved,
  ///       unmeasurable (counts; silent features are unmeasurable too), share, ceiling,
  ///       conditional, same_mixture {matched, of} | null, each at the threshold, ceiling_fit,
  ///       conditional_fit, thresholds (flow/verdict.hpp)}} | null}],
  ///   controls [the same as family, + nature "another seed" | "own text" | "random weights" |
  ///     null],
  ///   roots [{root, fine_tunes, measurable, persisting, into_any, into_all}],
  ///   merges [{model, bases, parents, measurable, traced, from_base, emerged_in_fine_tuning,
  ///     emerged_at_merge}],
  ///   paths [{models, distinct, chains, direct, every_pair, listed (the best by weakest link)}]}
  nlohmann::ordered_json summary(const std::vector<ReportNull>& nulls,
                                 const std::vector<ReportControl>& controls = {}) const;

  /// What the family's edge was counted at, ascending; empty: there is no such edge.
  std::vector<double> thresholds_of(const std::string& parent, const std::string& child) const;

  /// The classes of a model's features on each edge it is an end of, on all rows. Throws Error
  /// naming the file if a list has a feature that the model does not have.
  std::vector<EdgeClasses> classes_of(const std::string& model, int64_t feature_count) const;

  /// The verdict (definitions 15) on each measurable feature of one end of the family's edge, by
  /// feature: persists, disappeared or emerged, seed_dependent, unresolved. Empty: not asked for.
  std::map<int64_t, std::string> verdicts_of(const std::string& parent, const std::string& child,
                                             bool of_parent) const;

  /// For each path of the summary that the model is on: (its index there, "0110…" [m], 1 for a
  /// feature that lies on a chain of it). Throws Error naming the file for a link to a feature that
  /// the model does not have.
  std::vector<std::pair<int, std::string>> paths_of(const std::string& model,
                                                    int64_t feature_count) const;

  /// Where the features of a merged model come from, a letter each (definitions 12): b the base,
  /// f fine-tuning, m the merge itself, . for what is not measurable. Empty for other models.
  /// Throws Error as above.
  std::string origins_of(const std::string& model, int64_t feature_count) const;

 private:
  void check_feature(int64_t feature, const std::string& model, int64_t feature_count,
                     const std::string& where) const;

  std::filesystem::path file_;
  std::shared_ptr<const nlohmann::ordered_json> flow_;
};

}  // namespace featflow
