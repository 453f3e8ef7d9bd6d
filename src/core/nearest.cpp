#include "core/nearest.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace featflow {

std::string expected_name(const std::string& given, const std::vector<std::string>& known) {
  const std::string near = nearest(given, known);
  return near.empty() ? fmt::format("expected one of {}", fmt::join(known, ", "))
                      : "did you mean " + in_quotes(near) + "?";
}

}  // namespace featflow
