#include "cli/version.hpp"

#include "build_version.hpp"

namespace featflow {

std::string version() { return std::string(kVersion) + " (git " + kGitRevision + ")"; }

}  // namespace featflow
