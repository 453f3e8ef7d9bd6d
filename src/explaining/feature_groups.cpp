#include "explaining/feature_groups.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

uint64_t mask_of(const TextAttributes& text, std::initializer_list<std::string_view> phrases) {
  uint64_t mask = 0;
  for (const std::string_view phrase : phrases) mask |= uint64_t{1} << text.index(phrase);
  return mask;
}

GroupShares shares(GroupShares sums) {
  double all = 0;
  for (const double sum : sums) all += sum;
  for (double& sum : sums) sum = all > 0 ? sum / all : 0;
  return sums;
}

}  // namespace

std::vector<FeatureGroup> feature_groups(const FeatureColumns& columns,
                                         const TextAttributes& text) {
  const uint64_t formatting = mask_of(text, {"a line break", "a run of spaces or tabs"});
  const uint64_t punctuation = mask_of(text, {"punctuation"});
  const auto code_rows = static_cast<double>(std::ranges::count(text.in_code, 1));
  const double prose_rows = static_cast<double>(text.rows()) - code_rows;
  const int64_t count = columns.end_feature() - columns.first_feature;
  std::vector<FeatureGroup> groups(static_cast<size_t>(count), FeatureGroup::kLanguage);
  parallel_for(count, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      const Column column = columns.column(columns.first_feature + j);
      double mass = 0, on_formatting = 0, on_punctuation = 0, in_code = 0;
      for (size_t i = 0; i < column.rows.size(); ++i) {
        const auto row = static_cast<size_t>(column.rows[i]);
        const double f = column.values[i];
        mass += f;
        if ((text.bits[row] & formatting) != 0) {
          on_formatting += f;
        } else if ((text.bits[row] & punctuation) != 0) {
          on_punctuation += f;
        }
        if (text.in_code[row] != 0) in_code += f;
      }
      FeatureGroup& group = groups[static_cast<size_t>(j)];
      if (mass == 0) continue;
      if (2 * on_punctuation >= mass) {
        group = FeatureGroup::kPunctuation;
      } else if (2 * on_formatting >= mass) {
        group = FeatureGroup::kFormatting;
      } else if (in_code > 0 &&
                 (prose_rows == 0 || in_code * prose_rows > (mass - in_code) * code_rows)) {
        group = FeatureGroup::kCode;
      }
    }
  });
  return groups;
}

GroupShares group_shares(const std::vector<FeatureGroup>& groups,
                         const std::vector<int32_t>& features) {
  GroupShares sums = {};
  for (const int32_t feature : features) {
    sums[static_cast<size_t>(groups[static_cast<size_t>(feature)])] += 1;
  }
  return shares(sums);
}

GroupShares group_shares_by_mass(const std::vector<FeatureGroup>& groups,
                                 std::span<const double> mass) {
  FEATFLOW_CHECK(mass.size() == groups.size(), "a mass for every feature");
  GroupShares sums = {};
  for (size_t j = 0; j < mass.size(); ++j) sums[static_cast<size_t>(groups[j])] += mass[j];
  return shares(sums);
}

}  // namespace featflow
