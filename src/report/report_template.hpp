#pragma once

#include <string_view>

namespace featflow {

/// The report's front end as one HTML page with kChunksMarker where the data go. Its bytes are
/// built from web/ into the library featflow_web.
std::string_view report_template();

inline constexpr std::string_view kChunksMarker = "<!--FEATFLOW-CHUNKS-->";

}  // namespace featflow
