#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/process.hpp"
#include "storage/files.hpp"
#include "study/control_summary.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

// Bars of a study that can be trusted; missing one is a warning, not an error.
constexpr double kExplainedZero = 0.80, kExplainedMean = 0.75, kDeadShare = 0.10;
constexpr double kMeanL0 = 40;
constexpr int64_t kPersisting = 20;
constexpr double kNullShare = 0.01;

class Summary {
 public:
  Summary(const Study& study, fs::path run) : study_(study), run_(std::move(run)) {}

  std::string text() {
    models();
    merges();
    compared_methods();
    autoencoders();
    lambda_table();
    edges();
    case_studies();
    causal_checks();
    cost();
    if (!warnings_.empty()) {
      line("");
      for (const std::string& warning : warnings_) line("warning: " + warning);
    }
    return out_;
  }

  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void line(const std::string& text) { out_ += text + "\n"; }
  void warn(const std::string& text) { warnings_.push_back(text); }

  double accuracy(const std::string& model, const std::string& corpus) const {
    return read_json(run_ / "evaluation" / model /
                     "evaluation.json")["corpora"][corpus]["accuracy"];
  }

  void models() {
    line("Accuracy on held-out text");
    std::string header = fmt::format("  {:<16}", "");
    for (const CorpusConfig& corpus : study_.corpora) header += fmt::format("{:>12}", corpus.name);
    line(header);
    for (const ModelSettings& model : study_.models) {
      std::string row = fmt::format("  {:<16}", model.name);
      for (const CorpusConfig& corpus : study_.corpora) {
        row += fmt::format("{:>12.4f}", accuracy(model.name, corpus.name));
      }
      line(row);
    }
    for (const ModelSettings& model : study_.models) {
      if (!model.parent.empty()) {
        for (const auto& [corpus, share] : model.corpora) {
          const double before = accuracy(model.parent, corpus),
                       after = accuracy(model.name, corpus);
          line(fmt::format("  {} gains {:+.1f}% over {} on {}", model.name,
                           100 * (after - before) / before, model.parent, corpus));
        }
      }
      if (model.extension_share > 0) {
        const json facts = read_json(run_ / "extension" / model.name / "extension.json");
        const double gain = facts["relative_gain"];
        line(fmt::format("  {:.0f}% more training on its own data gives {} {:+.2f}%",
                         100 * facts["share"].get<double>(), model.name, 100 * gain));
        if (facts["under_trained"]) {
          warn(
              fmt::format("{} is under-trained: a little more training gains {:.2f}%, expected "
                          "under 1%",
                          model.name, 100 * gain));
        }
      }
    }
  }

  void merges() {
    for (const ModelSettings& model : study_.models) {
      if (!model.merged()) continue;
      const std::string &a = model.merge.parents[0], &b = model.merge.parents[1];
      const json merge = read_json(run_ / "model" / model.name / "merge.json");
      line("");
      line(fmt::format("{} = {} at t = {:.4f} ({})", model.name, merge["method"].get<std::string>(),
                       merge["t"].get<double>(), merge["direction"].get<std::string>()));
      if (model.merge.balanced()) {
        const json balance = read_json(run_ / "sweep" / model.name / "sweep.json")["balance"];
        const json& all = balance["all_documents"];
        line(
            fmt::format("  equal {} at t = {} on the half of the documents that chose t; on all at "
                        "t = {}",
                        balance["rule"] == "gain" ? "gain" : "accuracy", balance_point(balance),
                        balance_point(all)));
        if (!balance["warning"].is_null()) {
          warn(fmt::format("{}: {}", model.name, balance["warning"].get<std::string>()));
        }
      }
      const std::string base = study_.model(a).parent;
      for (const std::string& parent : {a, b}) {
        for (const auto& [corpus, share] : study_.model(parent).corpora) {
          const double own = accuracy(parent, corpus), merged = accuracy(model.name, corpus);
          std::string text = fmt::format("  {:<12} {:.4f} merged, {:.4f} {} ({:+.1f}%)", corpus,
                                         merged, own, parent, 100 * (merged - own) / own);
          if (!base.empty() && base == study_.model(b).parent) {
            const double before = accuracy(base, corpus);
            text += fmt::format(", {:.4f} {} ({:+.1f}%)", before, base,
                                100 * (merged - before) / before);
            if (merged < before) {
              warn(fmt::format("{} predicts {} worse than its base {}: {:.4f} against {:.4f}",
                               model.name, corpus, base, merged, before));
            }
          }
          line(text);
        }
      }
    }
  }

  // "0.4420 (0.4311–0.4530)": t* and the 95% interval of a bootstrap of documents; with the share
  // of resamples that have no crossing, or several. "1.0000 (no crossing: the nearest)".
  static std::string balance_point(const json& balance) {
    const json& interval = balance["interval"];
    std::string text = fmt::format("{:.4f}", balance["t"].get<double>());
    const int64_t crossings = balance["crossings"];
    if (crossings == 0) return text + " (no crossing: the nearest)";
    if (crossings > 1) text += fmt::format(", one of {} crossings", crossings);
    if (interval.is_null() || interval["low"].is_null()) return text + " (no interval)";
    text += fmt::format(" ({:.4f}–{:.4f}", interval["low"].get<double>(),
                        interval["high"].get<double>());
    for (const auto& [key, what] :
         {std::pair("no_crossing", "none"), std::pair("several_crossings", "several")}) {
      const double share = interval[key];
      if (share > 0) text += fmt::format(", {} in {:.1f}%", what, 100 * share);
    }
    return text + ")";
  }

  // Each method at its own balance point, and the features of each parent that it retains.
  void compared_methods() {
    for (const ModelSettings& model : study_.models) {
      if (!model.merged() || model.merge.compare.empty()) continue;
      const json facts = read_json(run_ / "retained" / model.name / "retained.json");
      const std::vector<std::string> parents = facts["parents"];
      line("");
      line(fmt::format(
          "Methods for {} (accuracy on the half held out from the choice of t / on all; "
          "features with r ≥ {} in each parent's own dictionary)",
          model.name, study_.matching.threshold));
      std::string header = fmt::format("  {:<18}{:<28}", "", "t (95%)");
      for (const std::string& parent : parents) header += fmt::format("{:>20}", parent + "'s text");
      for (const std::string& parent : parents) header += fmt::format("{:>22}", "of " + parent);
      line(header);
      const auto add_row = [&](const json& reader, const std::string& name, const std::string& t) {
        std::string row = fmt::format("  {:<18}{:<28}", name, t);
        for (const char* accuracy : {"accuracy_a", "accuracy_b"}) {
          const json& balance = reader.value("balance", json());
          row +=
              fmt::format("{:>20}", balance.is_null()
                                        ? "–"
                                        : fmt::format("{:.4f} / {:.4f}",
                                                      balance["other_half"][accuracy].get<double>(),
                                                      balance["merged"][accuracy].get<double>()));
        }
        for (const std::string& parent : parents) {
          row += fmt::format("{:>22}", retained(reader["retained"].value(parent, json())));
        }
        line(row);
      };
      for (const json& method : facts["methods"]) {
        const json& balance = method["balance"];
        add_row(method, method["method"],
                balance.is_null() ? fmt::format("{:.4f} (given)", method["t"].get<double>())
                                  : balance_point(balance));
      }
      for (const json& baseline : facts["baselines"])
        add_row(baseline, baseline["name"], "no merge");
    }
  }

  // "812 of 900 (90.2%)"
  static std::string retained(const json& count) {
    if (count.is_null()) return "–";
    const int64_t measurable = count["measurable"], kept = count["retained"];
    return fmt::format(
        "{} of {} ({:.1f}%)", kept, measurable,
        100.0 * static_cast<double>(kept) / static_cast<double>(std::max<int64_t>(measurable, 1)));
  }

  void autoencoders() {
    line("");
    line(
        "Autoencoders on held-out text (paper: L0 25-35, explained loss over 88% with zero "
        "ablation)");
    line(fmt::format("  {:<16}{:>10}{:>8}{:>12}{:>14}{:>14}{:>8}", "", "features", "L0", "MSE/var",
                     "explained (0)", "explained (μ)", "dead"));
    for (const ModelSettings& model : study_.models) {
      const json e = read_json(run_ / "autoencoder_evaluation" / model.name / "evaluation.json");
      const double l0 = e["l0"], zero = e["explained_loss"]["zero"],
                   mean = e["explained_loss"]["mean"], dead = e["dead_share"];
      line(fmt::format("  {:<16}{:>10}{:>8.1f}{:>12.4f}{:>13.1f}%{:>13.1f}%{:>7.1f}%", model.name,
                       e["features"].get<int64_t>(), l0, e["mse_over_variance"].get<double>(),
                       100 * zero, 100 * mean, 100 * dead));
      if (model.control()) continue;  // an untrained model need not meet the bars
      if (l0 > kMeanL0)
        warn(fmt::format("{}: mean L0 is {:.1f}, over {}", model.name, l0, kMeanL0));
      if (zero < kExplainedZero || mean < kExplainedMean) {
        warn(fmt::format(
            "{}: the autoencoder explains {:.1f}% (zero) and {:.1f}% (mean) of the "
            "loss, expected at least {:.0f}% and {:.0f}%",
            model.name, 100 * zero, 100 * mean, 100 * kExplainedZero, 100 * kExplainedMean));
      }
      if (dead > kDeadShare) {
        warn(fmt::format("{}: {:.1f}% of the features are dead", model.name, 100 * dead));
      }
    }
  }

  void lambda_table() {
    if (study_.autoencoder.l1_table.empty()) return;
    line("");
    line(fmt::format("λ for {}", study_.family().front().name));
    line(fmt::format("  {:>10}{:>10}{:>8}{:>14}{:>14}", "λ", "λ_sum", "L0", "explained (0)",
                     "explained (μ)"));
    for (const json& row : lambda_rows(study_, run_)) {
      line(fmt::format("  {:>10}{:>10.4f}{:>8.1f}{:>13.1f}%{:>13.1f}%",
                       row["l1_coefficient"].get<double>(), row["l1_coefficient_sum"].get<double>(),
                       row["l0"].get<double>(), 100 * row["explained_loss"]["zero"].get<double>(),
                       100 * row["explained_loss"]["mean"].get<double>()));
    }
  }

  // "19.6% (17.0–22.4)": of the measurable parents (definitions 13).
  static std::string cross_fitted(const json& fit) {
    if (fit.is_null()) return "–";
    const json& parents = fit["a"];
    const double all = std::max(1.0, parents["measurable"].get<double>()) / 100;
    return fmt::format("{:.1f}% ({:.1f}–{:.1f})", parents["matched"].get<double>() / all,
                       parents["low"].get<double>() / all, parents["high"].get<double>() / all);
  }

  void edges() {
    line("");
    line(fmt::format("Features along each edge at r ≥ {} (measurable features only)",
                     study_.matching.threshold));
    line(fmt::format("  {:<28}{:>11}{:>14}{:>13}{:>11}{:>8}{:>20}", "", "persisting",
                     "disappearing", "as children", "emerging", "chance", "cross-fitted, 95%"));
    for (const auto& [parent, child] : study_.edges()) edge(parent, child, true);
    for (const ModelSettings& model : study_.models) {
      if (model.control()) edge(model.control_of, model.name, false);
    }
    for (const std::string& text : control_lines(study_, run_)) line(text);
  }

  // Controls stand in the table; the bars are the family's.
  void edge(const std::string& parent, const std::string& child, bool of_family) {
    const json facts = read_json(run_ / "matching" / edge_name(parent, child) / "edge.json");
    const int64_t persisting = facts["persisting_parents"];
    const json& chance = facts["chance_parents"];  // null: no permutations were asked for
    const int64_t parents = facts["measurable_parents"], children = facts["measurable_children"];
    const int64_t persisting_children = facts["persisting_children"];
    const std::string name = fmt::format("{} {} {}", parent, of_family ? "→" : "|", child);
    line(fmt::format("  {:<28}{:>11}{:>14}{:>13}{:>11}{:>8}{:>20}", name,
                     fmt::format("{} ({:.0f}%)", persisting,
                                 100.0 * static_cast<double>(persisting) /
                                     static_cast<double>(std::max<int64_t>(parents, 1))),
                     parents - persisting, persisting_children, children - persisting_children,
                     chance.is_null() ? "–" : fmt::format("{:.3g}", chance.get<double>()),
                     cross_fitted(facts["cross_fit"])));
    if (!of_family) return;
    if (persisting < kPersisting) {
      warn(fmt::format("{}: only {} measurable features persist, expected at least {}", name,
                       persisting, kPersisting));
    }
    if (!chance.is_null() && chance.get<double>() > kNullShare * static_cast<double>(persisting)) {
      warn(fmt::format(
          "{}: {:.3g} features match by chance (rows shifted), expected at most 1% of {}", name,
          chance.get<double>(), persisting));
    }
  }

  void case_studies() {
    if (study_.case_studies.tokens.empty()) return;
    const fs::path folder = run_ / "case_studies" / "case_studies";
    for (const json& study : read_json(folder / "case_studies.json")) {
      line("");
      std::string row = "The feature of " + study["hypothesis"].get<std::string>();
      if (!study["edges"].empty()) {
        row += study["persists"].get<bool>() ? ": persists along every edge"
                                             : ": does not persist along every edge";
      }
      line(row);
      for (const json& model : study["models"]) {
        if (model["feature"].is_null()) {
          line(fmt::format("  {:<16} none", model["model"].get<std::string>()));
          continue;
        }
        line(fmt::format("  {:<16} #{:<6} log-likelihood ratio {:.2f} bits",
                         model["model"].get<std::string>(), model["feature"].get<int64_t>(),
                         model["llr_bits"].is_null() ? 0.0 : model["llr_bits"].get<double>()));
      }
      if (!study["mean_correlation"].is_null()) {
        line(fmt::format("  mean cross-correlation {:.1f}%",
                         100 * study["mean_correlation"].get<double>()));
      }
    }
  }

  void causal_checks() {
    if (study_.controls.causal_features == 0) return;
    line("");
    for (const auto& [parent, child] : study_.edges()) {
      const json check = read_json(run_ / "causal" / edge_name(parent, child) / "causal.json");
      const auto figures = [&](const char* feature_class) {
        const json& figure = check["classes"][feature_class];
        const json& median = figure["median_effect_correlation"];
        return fmt::format("{}, flagged {} of {}",
                           median.is_null() ? "–" : fmt::format("{:.2f}", median.get<double>()),
                           figure["flagged"].get<int64_t>(), figure["matched"].get<int64_t>());
      };
      std::string row =
          fmt::format("{} → {}, causal check: median effect correlation of persisting pairs {}",
                      parent, child, figures("persisting"));
      if (check["classes"]["found_again"]["pairs"] > 0) {
        row += fmt::format("; between two autoencoders of {} {}", parent, figures("found_again"));
      }
      line(row);
    }
  }

  void cost() {
    line("");
    line(fmt::format("Peak memory {}", human_bytes(peak_memory_bytes())));
  }

  const Study& study_;
  fs::path run_;
  std::string out_;
  std::vector<std::string> warnings_;
};

}  // namespace

json lambda_rows(const Study& study, const fs::path& run) {
  std::vector<double> values = study.autoencoder.l1_table;
  const double usual = study.autoencoder.training.l1_coefficient;
  if (std::ranges::find(values, usual) == values.end()) values.push_back(usual);
  std::ranges::sort(values);
  json rows = json::array();
  for (const double l1 : values) {
    const std::string model = study.family().front().name;
    const std::string name = l1 == usual ? model : fmt::format("{}@{}", model, l1);
    rows.push_back(read_json(run / "autoencoder_evaluation" / name / "evaluation.json"));
    rows.back().emplace("l1_coefficient", 0.0);  // an evaluation without λ does not name it
    rows.back().emplace("l1_coefficient_sum", 0.0);
  }
  return rows;
}

std::string summarize(const Study& study, const fs::path& run) {
  return Summary(study, run).text();
}

std::vector<std::string> study_warnings(const Study& study, const fs::path& run) {
  Summary summary(study, run);
  summary.text();
  return summary.warnings();
}

}  // namespace featflow
