#pragma once

#include <string_view>

namespace featflow {

// Front ends, each as one HTML page with kChunksMarker where the data go. Their bytes are built
// from web/ into the library featflow_web.
std::string_view report_template();  ///< The report (report.hpp).
std::string_view pairs_template();   ///< Pairs of features to rate (pairs_page.hpp).

inline constexpr std::string_view kChunksMarker = "<!--FEATFLOW-CHUNKS-->";

}  // namespace featflow
