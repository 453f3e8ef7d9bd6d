#pragma once

#include <string>

namespace featflow {

/// "0.1.0 (git 0123456789ab)".
std::string version();

}  // namespace featflow
