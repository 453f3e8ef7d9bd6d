#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "explaining/text_attributes.hpp"
#include "features/columns.hpp"

namespace featflow {

/// The kinds of feature that the paper's authors sorted explanations into by hand (Section 4.1),
/// told from where a feature's activation lies.
enum class FeatureGroup : uint8_t {
  kPunctuation,  ///< At least half of Σ f is on punctuation.
  kFormatting,   ///< … on line breaks, indentation and other white space.
  kCode,         ///< Else, if it is stronger in documents that look like programs
  kLanguage,     ///< than in the others, per token of each; or not.
};
inline constexpr std::array<std::string_view, 4> kFeatureGroups = {"punctuation", "formatting",
                                                                   "code", "language"};

/// Shares by group; of nothing, all 0.
using GroupShares = std::array<double, kFeatureGroups.size()>;

/// [features of `columns`] the group of each; a silent feature's is kLanguage.
std::vector<FeatureGroup> feature_groups(const FeatureColumns& columns, const TextAttributes& text);

/// What share of these features each group is.
GroupShares group_shares(const std::vector<FeatureGroup>& groups,
                         const std::vector<int32_t>& features);
/// What share of the activation of all features lies in each group; mass [features] Σ f.
GroupShares group_shares_by_mass(const std::vector<FeatureGroup>& groups,
                                 std::span<const double> mass);

}  // namespace featflow
