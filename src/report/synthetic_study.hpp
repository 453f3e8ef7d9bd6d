#pragma once

// For tests: a family of models with planted features, every stage file that a report is made from,
// and the report that comes of it.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "flow/flow.hpp"
#include "report/decoded_page.hpp"
#include "report/report.hpp"
#include "tokens/token_shard.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow::synthetic {

using Json = nlohmann::ordered_json;

namespace fs = std::filesystem;

inline constexpr int64_t kFeatures = 280;  // more than one chunk, the last one not full
inline constexpr std::string_view kMarkup = "<script>alert(1)</script>";

/// A family of four models with planted features, and every stage file that a report is made
/// from. Feature j of a model follows pattern j + offset(model): patterns are shared by the
/// models whose ranges of patterns overlap.
class Study {
 public:
  explicit Study(std::filesystem::path folder);
  ReportInputs inputs;
  const TokenShard& text() const { return text_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const FeatureActivations& activations(size_t model) const { return activations_[model]; }
  const Flow& flow() const { return flow_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  void write_text();
  FeatureActivations encode(const std::string& name, int64_t offset, uint64_t model);
  void add_model(const std::string& name, const std::vector<std::string>& parents, size_t i);
  void match_and_flow(const std::vector<std::string>& names);
  /// What stands beside the first edge: ceilings and verdicts by further autoencoders, a null, and
  /// a control of the base.
  void add_controls(const Matches& edge);
  void write_sweep();
  void write_comparison();
  void write_causal_check();
  /// What is said of the features of Lua, and what they promote: every third feature of the
  /// measurable ones is left without a rule.
  void write_explanations();
  std::filesystem::path folder_;
  TokenShard text_;
  std::optional<Tokenizer> tokenizer_;
  std::vector<FeatureActivations> activations_;
  Flow flow_;
};

/// Written once: the tests only read it.
const Study& study();
/// FEATFLOW_REPORT names where to leave the report for the browser tests.
const DecodedPage& report();
const Json& overview();
Json feature_page(size_t model, int64_t feature);
Json index_of(const std::string& name);

}  // namespace featflow::synthetic
