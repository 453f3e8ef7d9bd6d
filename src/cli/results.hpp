#pragma once

#include <string>

#include "cli/command.hpp"
#include "study/run_folder.hpp"
#include "study/stage_graph.hpp"

namespace featflow {

/// Runs what a run needs up to a late stage and does not have yet, and gives the graph to find the
/// results with. It borrows the study. Throws Error if a model or an autoencoder would have to be
/// trained: who asks for results does not expect that.
StageGraph bring_up_to_date(const SavedStudy& saved, const std::string& run,
                            const std::string& until, const CommonOptions& common);

}  // namespace featflow
