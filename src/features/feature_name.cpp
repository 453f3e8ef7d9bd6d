#include "features/feature_name.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/nearest.hpp"

namespace featflow {

FeatureName parse_feature_name(const std::string& text, const std::vector<std::string>& models) {
  const size_t slash = text.rfind('/');
  const std::string digits = slash == std::string::npos ? "" : text.substr(slash + 1);
  if (digits.empty() || digits.size() > 9 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(fmt::format("{}: expected MODEL/NUMBER, such as {}/12", in_quotes(text),
                            models.empty() ? "Base" : models.front()));
  }
  FeatureName name{text.substr(0, slash), std::stoll(digits)};
  if (std::ranges::find(models, name.model) == models.end()) {
    throw Error(
        fmt::format("{}: no such model; {}", in_quotes(text), expected_name(name.model, models)));
  }
  return name;
}

}  // namespace featflow
