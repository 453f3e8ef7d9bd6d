#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "matching/cross_fit.hpp"
#include "study/settings.hpp"

namespace featflow {

// What [matching] says, as the stages that match hand it on.

MeasurableLimits measurable_limits(const Study& study);
CorrelationOptions correlation_options(const Study& study, const std::string& label);
/// Definitions 13. None, with a warning, where there are too few documents; none if it is not
/// asked for.
std::optional<CrossFitOptions> cross_fit_options(const Study& study,
                                                 const FeatureActivations& activations,
                                                 const std::string& label, uint64_t seed);

}  // namespace featflow
