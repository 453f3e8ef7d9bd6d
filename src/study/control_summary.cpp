#include "study/control_summary.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "flow/verdict.hpp"
#include "matching/significance.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using nlohmann::json;

json read_json(const std::filesystem::path& file) { return json::parse(read_file(file)); }

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.1f}%", 100 * part / whole) : "–";
}

// The ceiling's and the conditional share's own figures on documents that did not choose partners.
std::string cross_fitted(const SideVerdict& side) {
  if (!side.ceiling_fit) return "";
  const CrossFittedCount& ceiling = side.ceiling_fit->a;
  const auto all = static_cast<double>(ceiling.measurable);
  std::string text = fmt::format("cross-fitted: ceiling {} ({}–{})", percent(ceiling.matched, all),
                                 percent(ceiling.low, all), percent(ceiling.high, all));
  if (const auto& conditional = side.conditional_fit; conditional && conditional->found_again > 0) {
    text += fmt::format(", conditional {} ({}–{})", percent(conditional->share(), 1),
                        percent(conditional->low, 1), percent(conditional->high, 1));
  }
  return text;
}

void add_side(const std::string& whose, const SideVerdict& side, double threshold,
              const char* absent, std::vector<std::string>& lines) {
  lines.push_back(fmt::format("    {}: {}", whose, summary_line(side, threshold)));
  if (const std::string fits = cross_fitted(side); !fits.empty()) lines.push_back("      " + fits);
  lines.push_back(
      fmt::format("      persist {}, {} {}, seed-dependent {}, unresolved {}, "
                  "unmeasurable {}, silent {}",
                  side.persists.size(), absent, side.absent.size(), side.seed_dependent.size(),
                  side.unresolved.size(), side.unmeasurable.size(), side.silent.size()));
}

// What a null is, in words.
const char* meaning(NullKind kind) {
  switch (kind) {
    case NullKind::kShiftedRows:
      return "rows shifted";
    case NullKind::kSameToken:
      return "rows exchanged among equal tokens";
    case NullKind::kRandomModel:
      return "a model with random weights";
  }
  return "";
}

}  // namespace

std::vector<std::string> control_lines(const Study& study, const std::filesystem::path& run) {
  std::vector<std::string> lines;
  for (const auto& [parent, child] : study.edges()) {
    if (!names_edge(study.controls.ceilings, parent, child)) continue;
    const EdgeVerdict verdict =
        parse_edge_verdict(read_json(run / "verdict" / edge_name(parent, child) / "verdict.json"));
    lines.push_back(fmt::format("  {} → {} against a second autoencoder of each:", parent, child));
    add_side(parent, verdict.of_parent, verdict.threshold, "disappeared", lines);
    add_side(child, verdict.of_child, verdict.threshold, "emerged", lines);
  }
  for (const auto& [parent, child] : study.edges()) {
    if (!names_edge(study.controls.nulls, parent, child)) continue;
    lines.push_back(fmt::format("  {} → {}, features of {} against nulls:", parent, child, parent));
    for (const json& entry : read_json(run / "nulls" / edge_name(parent, child) / "nulls.json")) {
      const Significance null = parse_significance(entry);
      lines.push_back(
          fmt::format("    {:<34} {:.3g} match by it; of {} matches {} exceed every maximum of "
                      "their own, {} are "
                      "significant (false discovery rate {:g})",
                      meaning(null.kind), null.a.null_matched, null.a.matched,
                      null.a.matched_above_own, null.a.matched_significant, null.alpha));
    }
  }
  return lines;
}

}  // namespace featflow
