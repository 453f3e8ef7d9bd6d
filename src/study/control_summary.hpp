#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "study/settings.hpp"

namespace featflow {

/// What stands beside the shares, in lines for people: ceilings and verdicts of the edges in
/// controls.ceilings, nulls of those in controls.nulls. Empty if neither was asked for.
std::vector<std::string> control_lines(const Study& study, const std::filesystem::path& run);

}  // namespace featflow
