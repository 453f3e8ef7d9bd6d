#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace featflow {

/// A feature of one of a family's models.
struct FeatureName {
  std::string model;
  int64_t feature = 0;

  bool operator==(const FeatureName&) const = default;
};

/// "Lua/12" → feature 12 of Lua. Throws Error if it is not MODEL/NUMBER with one of `models`.
FeatureName parse_feature_name(const std::string& text, const std::vector<std::string>& models);

}  // namespace featflow
